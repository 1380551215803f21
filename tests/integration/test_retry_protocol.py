"""The judgement of retry policies sees no future, and its parts go from recording to report."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.learned.retry_training import train_works
from adapters.recordings.jobs import RecordedJobs
from benchmarks.learning.generator import made_up
from benchmarks.learning.leaks import with_another_future
from benchmarks.retry import __main__ as command
from benchmarks.retry import generator, stopping
from benchmarks.retry.attempts import retries_of
from benchmarks.retry.collect import known_at, looks_of
from benchmarks.retry.recorded import NOT_SEEN, episodes_of
from benchmarks.retry.stopping import Stretch
from benchmarks.retry.walks import ArmOf, Pass
from core.learning.events import Status
from core.retrying.arms import Backoff, Oracle
from core.retrying.history import History


@pytest.fixture(scope="module")
def jobs() -> RecordedJobs:
    return made_up(3_000, 21.0, seed=3)


def test_an_episode_begins_with_a_failure_and_ends_with_the_next_success_of_its_type(
    jobs: RecordedJobs,
) -> None:
    episodes = episodes_of(jobs)
    assert len(episodes) > 20
    open_until: dict[tuple[str, str, str], int] = {}
    for episode in episodes:
        assert jobs.status[episode.job] == Status.FAILED
        assert open_until.get(episode.subject, 0) < episode.began_ms
        open_until[episode.subject] = 1 << 62 if episode.closed_ms == NOT_SEEN else episode.closed_ms
        if episode.closed_ms != NOT_SEEN:
            assert episode.began_ms < episode.recovered_ms <= episode.closed_ms


def test_nothing_that_is_learned_at_a_cut_depends_on_what_happens_after_it(jobs: RecordedJobs) -> None:
    cut_ms = jobs.day(12)
    changed = with_another_future(jobs, cut_ms, seed=5)
    one, other = (known_at(looks_of(of, History(), cut_ms), cut_ms) for of in (jobs, changed))
    assert len(one) == len(other) > 10
    assert one.vectors.tobytes() == other.vectors.tobytes()
    assert np.array_equal(one.by_history, other.by_history)
    assert one.seen == other.seen


def test_a_walk_pays_for_tries_delay_and_what_it_gives_up(jobs: RecordedJobs) -> None:
    arms: dict[str, ArmOf] = {
        "fixed": lambda _: Backoff("fixed", 600.0, 600.0, 3),
        "oracle": lambda episode: Oracle(
            lambda _: episode.began_ms / 1000 + episode.recovered_s if episode.recovered_s <= 86_400 else None
        ),
    }
    found = Pass(jobs, arms, [], 0, jobs.day(21)).run()
    assert len(found["fixed"]) == len(found["oracle"]) == len(episodes_of(jobs))
    for one in found["fixed"]:
        reached = one.episode.recovered_s <= 1800.0
        assert one.recovered == reached
        if reached:
            tries = int(np.ceil(one.episode.recovered_s / 600.0))
            assert one.tries == tries
            assert one.cost_s == pytest.approx(300.0 * (tries - 1) + 600.0 * tries - one.episode.recovered_s)
        else:
            assert one.cost_s == 900.0 + (21_600.0 if one.recoverable else 0.0)
    for one in found["oracle"]:
        assert one.cost_s <= 1.0
        assert one.recovered == one.recoverable


def test_stopping_drops_what_follows_in_a_task_and_nothing_else() -> None:
    retries = retries_of(generator.made_up(20, 40_000_000, seed=2))
    places = np.arange(len(retries))
    capped = stopping.dropped(retries, places, lambda place: bool(retries.failures[place] > 2))
    assert np.array_equal(capped, retries.failures > 2)
    first = stopping.dropped(retries, places, lambda place: bool(retries.failures[place] == 2))
    assert np.array_equal(first, retries.failures >= 2)


def test_what_is_said_of_a_retry_does_not_change_with_what_happens_after_it() -> None:
    attempts = generator.made_up(20, 40_000_000, seed=2)
    at_ms = 20_000_000
    later = [
        one._replace(started_ms=None, ended_ms=None)
        if one.ended_ms is not None and one.ended_ms >= at_ms
        else one
        for one in attempts
    ]
    one, other = retries_of(attempts), retries_of(later)
    before = one.at_ms < at_ms
    assert before.sum() > 50
    assert np.array_equal(one.vectors[before], other.vectors[other.at_ms < at_ms], equal_nan=True)
    known = one.resolved & (one.ended_ms < at_ms)
    worked = one.worked[known].astype(np.float32)
    assert train_works(one.vectors[known], worked, rounds=3) == train_works(
        replace(one).vectors[known], worked, rounds=3
    )


def test_a_worth_that_was_chosen_keeps_enough_where_it_was_chosen() -> None:
    retries = retries_of(generator.made_up(60, 46_000_000, seed=4))
    stretches = [(20_000_000, Stretch(20_000_000, 30_000_000))]
    chosen = stopping.chosen(retries, stretches, rounds=20)
    said = stopping.spoken(retries, *stretches[0], rounds=20)
    found = stopping.judge(retries, said, chosen, "", 20_000_000, rounds=0)
    rule = found.rules["XGBoost, cost ratio"]
    assert rule.kept.value >= stopping.KEEP_AT_LEAST
    assert rule.hours.value > found.rules["cap 5"].hours.value


def test_made_up_jobs_are_judged_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    words = ["--generated", "--final", "--json", "--document", str(tmp_path / "plots")]
    assert command.main(words, generated_jobs=4_000, rounds=4, build=tmp_path, log=log) == 0
    found = json.loads(capsys.readouterr().out)
    arms = found["timing"]["arms"]
    assert arms["oracle"]["cost_s"]["value"] <= min(one["cost_s"]["value"] for one in arms.values())
    assert arms["none"]["tries"] == 0
    assert json.loads((tmp_path / "retry.json").read_bytes()) == found
    assert "MISSED" in (tmp_path / "retry.html").read_text() or all(one["met"] for one in found["bars"])
    assert (tmp_path / "plots" / "costs.png").stat().st_size > 1000
    # What was made up is no look at the held-out days.
    assert not log.exists()
