"""The protocol sees no future: leak tests on made-up jobs, and its parts from recording to report."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adapters.learned.training import Recipe, train
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.replay import replayed, rows_of, training_rows
from benchmarks.learning import __main__ as command
from benchmarks.learning.generator import made_up
from benchmarks.learning.leaks import leaking, with_another_future, with_ends_known_later
from core.learning.events import Ended, Status, Submitted, keys_of
from core.learning.features import COLUMN, FEATURES, MISSING, JobFacts
from core.learning.fold import FeatureFold
from core.learning.measures import average_precision, spearman
from ports.models import Vectors

RECIPE = Recipe(limit_ms=7_200_000, run_rounds=(5, 5), failed_rounds=(3,) * 4)


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def jobs() -> RecordedJobs:
    return made_up(2_500, 8.0, seed=3)


@pytest.fixture(scope="module")
def vectors(jobs: RecordedJobs) -> Vectors:
    return replayed(jobs, quiet)


def _make(jobs: RecordedJobs) -> Vectors:
    return replayed(jobs, quiet)


def test_no_feature_before_a_time_depends_on_what_happens_from_it_on(jobs: RecordedJobs) -> None:
    assert leaking(_make, jobs, jobs.day(5)) == []


def test_a_planted_column_that_knows_a_jobs_own_end_is_caught(jobs: RecordedJobs) -> None:
    def planted(of: RecordedJobs) -> Vectors:
        return np.column_stack([_make(of), np.log1p(of.run_ms)]).astype(np.float32)

    assert leaking(planted, jobs, jobs.day(5)) == [f"column {len(FEATURES)}"]


def test_a_planted_mean_over_the_whole_table_is_caught(jobs: RecordedJobs) -> None:
    def planted(of: RecordedJobs) -> Vectors:
        failed = of.status == Status.FAILED
        share = np.bincount(of.type, weights=failed) / np.maximum(1, np.bincount(of.type))
        found = _make(of)
        found[:, COLUMN["type.failed_24h"]] = share[of.type]
        return found

    assert leaking(planted, jobs, jobs.day(5)) == ["type.failed_24h"]


def test_a_model_does_not_change_with_what_happens_after_its_cut(
    jobs: RecordedJobs, vectors: Vectors
) -> None:
    cut_ms = jobs.day(5)
    changed = with_another_future(jobs, cut_ms, seed=5)
    one = train(training_rows(jobs, vectors), cut_ms, RECIPE)
    other = train(training_rows(changed, vectors), cut_ms, RECIPE)
    assert one == other
    seen = training_rows(with_another_future(jobs, jobs.day(4), seed=5), vectors)
    assert train(seen, cut_ms, RECIPE) != one


def test_ends_that_are_known_later_make_predictions_worse(jobs: RecordedJobs, vectors: Vectors) -> None:
    late = replayed(with_ends_known_later(jobs, 12 * 3_600_000), quiet)
    judged = jobs.between(jobs.day(2), jobs.day(8))
    failed = (jobs.status[judged] == Status.FAILED).astype(np.float64)
    log_run = np.log1p(jobs.run_ms[judged].astype(np.float64))
    for name, score, truth in (
        ("expected_failed", average_precision, failed),
        ("expected_run", spearman, log_run),
    ):
        column = COLUMN[name]
        on_time, delayed = (found[judged, column].astype(np.float64) for found in (vectors, late))
        assert score(truth, on_time) > score(truth, delayed), name


def test_a_stream_gives_the_bytes_of_the_replay_however_its_events_arrive(
    jobs: RecordedJobs, vectors: Vectors
) -> None:
    """Parity: events of some seconds shuffled and repeated, watermarks now and then."""
    dice = np.random.default_rng(11)
    fold = FeatureFold()
    moments: list[tuple[int, int, int, tuple[int, ...]]] = []
    for job, values in rows_of(jobs):
        moments.append((values[0], 1, job, values))
        if values[2] >= 0:
            moments.append((values[2], 0, job, values))
    moments.sort()
    held: list[tuple[int, int, tuple[int, ...]]] = []
    compared = 0
    for at_ms, is_submit, job, values in moments:
        if (is_submit and at_ms - (held[0][0] if held else at_ms) > 900) or len(held) > 40:
            _deliver(fold, held, dice)
        if is_submit:
            # A decision needs what happened before it, and nothing more.
            _deliver(fold, held, dice)
            keys = keys_of(str(values[5]), str(values[6]), str(values[7]))
            vector = fold.decide(keys, JobFacts(values[8], values[10], values[9] or MISSING), at_ms)
            assert vector.tobytes() == vectors[job].tobytes()
            compared += 1
        held.append((at_ms, job if is_submit else ~job, values))
    assert compared == len(jobs)


def _deliver(
    fold: FeatureFold, held: list[tuple[int, int, tuple[int, ...]]], dice: np.random.Generator
) -> None:
    for place in dice.permutation(len(held) * 2):
        at_ms, job, values = held[place % len(held)]
        keys = keys_of(str(values[5]), str(values[6]), str(values[7]))
        if job >= 0:
            fold.take(Submitted(at_ms, str(job), 1, values[10]), keys)
        else:
            fold.take(Ended(at_ms, str(~job), 1, values[3], Status(values[4]), values[0]), keys)
    held.clear()


def test_the_command_judges_made_up_jobs_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(RECIPE, run_rounds=(3, 3))
    words = ["--generated", "--json", "--document", str(tmp_path / "plots")]
    assert command.main(words, generated_jobs=4_000, recipe=recipe, build=tmp_path) == 0
    written = msgspec.json.decode(capsys.readouterr().out)
    assert written == msgspec.json.decode((tmp_path / "learning.json").read_bytes())
    assert {"FIFO", "oracle SJF", "shipped, XGBoost", "reversed"} <= set(written["queues"][0]["by_policy"])
    assert "<h2>Bars</h2>" in (tmp_path / "learning.html").read_text()
    assert (tmp_path / "plots" / "calibration.png").stat().st_size > 1000
