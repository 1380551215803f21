"""From logged decisions about failures to a model: what is known when, what may be promoted, what drifts."""

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from adapters.learned.recovery import RecoveryModel
from adapters.learned.recovery_bytes import unpack_recovery
from adapters.learned.recovery_making import carried_out, cut_of
from adapters.learned.recovery_probe import said_of_probe
from adapters.learned.retry_episodes import known_at, moments_of, seen_of
from adapters.learned.retry_logged import Decided, RetryLogged
from adapters.learned.trial import tried
from core.learning.enough import Enough
from core.retrying.ahead import merged
from core.retrying.choice import Subject
from core.retrying.evidence import Settled, evidence_of
from core.retrying.features import Failure, features
from core.retrying.history import History, Seen
from ports.training import RECOVERY, Found, Kind, Order, When, is_promotable
from schemas.model_fit import misfit_of
from schemas.models import ModelManifest, Purpose, sha256_of, survives
from tests.support.retry_decisions import BEGIN_MS, logged_of

SUBJECT = Subject("t", "k", "503")
VECTOR = features(Failure(1, 1, 0.0, 0.0), {})


def an_order(champion: ModelManifest | None = None) -> Order:
    return Order(
        now_ms=BEGIN_MS + 10**9,
        by="trainer",
        when=When.NOW,
        code_version="1",
        kind=Kind.BOOSTED,
        rows_max=10_000,
        enough=Enough(0, 0, 0),
        champion=champion,
        purpose=Purpose.RETRY,
    )


@cache
def of_a_pattern() -> tuple[Found, bytes]:
    return carried_out(an_order(), b"", logged_of(), "", lambda _: None)


def a_model() -> tuple[ModelManifest, bytes]:
    found, data = of_a_pattern()
    assert found.model is not None
    return found.model, data


def at(second: float, ended: float | None = None, *, job: str = "a", age_s: float | None = None) -> Decided:
    ended_ms = None if ended is None else round(ended * 1000)
    return Decided(
        job, round(second * 1000), second if age_s is None else age_s, True, SUBJECT, VECTOR, ended_ms, True
    )


def test_a_pattern_that_features_show_becomes_a_model_that_may_be_promoted() -> None:
    manifest, data = a_model()
    assert is_promotable(manifest), manifest.judged
    assert (manifest.kind, manifest.purpose, manifest.parent) == (RECOVERY, "retry", "")
    assert manifest.metrics["log_score"] < manifest.beside["history"]["log_score"] - 0.1
    assert manifest.sha256 == sha256_of(data)
    assert misfit_of(manifest) is None
    assert survives(manifest)
    found, _ = of_a_pattern()
    assert found.failures < found.ends
    assert found.drift is None


def test_a_model_answers_the_probe_as_its_manifest_says_wherever_it_is_tried() -> None:
    manifest, data = a_model()
    said = tried(data)
    assert said.problem == ""
    assert (said.log_run, said.failed) == (manifest.probe_log_run, manifest.probe_failed)
    here = said_of_probe(RecoveryModel(manifest.id, *unpack_recovery(data)))
    assert here == (manifest.probe_log_run, manifest.probe_failed)
    assert len(set(manifest.probe_failed)) > 10


def test_a_model_tells_what_arms_have_cost_also_where_its_trees_are_worth_nothing() -> None:
    settled = [Settled("timeout", "rule", 0.5, 10.0), Settled("timeout", "planned", 0.05, 7.0)]
    logged = replace(logged_of(shuffled=True), settled=settled)
    _, data = carried_out(an_order(), b"", logged, "", lambda _: None)
    assert unpack_recovery(data).evidence == evidence_of(settled)
    assert not unpack_recovery(a_model()[1]).evidence


def test_features_that_say_nothing_give_nothing_to_promote() -> None:
    found, _ = carried_out(an_order(), b"", logged_of(shuffled=True), "", lambda _: None)
    assert found.model is not None
    assert not found.may_be_promoted
    assert "not better than history alone" in found.model.judged


def test_a_champion_drifts_when_its_features_mean_nothing_any_more() -> None:
    champion, data = a_model()
    for shuffled in (False, True):
        later = logged_of(seed=3, shuffled=shuffled, begin=1000)
        found, _ = carried_out(an_order(champion), data, later, "it is not time", lambda _: None)
        assert found.drift is not None
        assert found.drift.drifted is shuffled, found.drift.words
        assert found.drift.measures["live_failures"] > 100
        assert found.model is None


def test_a_champion_is_not_asked_about_what_it_was_trained_on() -> None:
    champion, data = a_model()
    newest = msgspec.structs.replace(champion, cut_ms=BEGIN_MS + 10**9)
    found, _ = carried_out(an_order(newest), data, logged_of(), "it is not time", lambda _: None)
    assert found.drift is not None
    assert found.drift.words.startswith("no verdict: failures of 0 jobs")


def test_a_model_beside_its_champion_names_it() -> None:
    champion, data = a_model()
    found, _ = carried_out(an_order(champion), data, logged_of(), "", lambda _: None)
    assert found.model is not None
    assert found.model.parent == champion.id
    assert found.model.beside.keys() == {"history", "champion"}


@pytest.mark.parametrize("jobs", [0, 1])
def test_too_few_failures_are_nothing_to_learn_from(jobs: int) -> None:
    found, data = carried_out(an_order(), b"", logged_of(jobs), "", lambda _: None)
    assert (found.model, data) == (None, b"")
    assert "nothing to" in found.waits_for


def test_history_beside_a_moment_is_of_what_had_ended_before_and_never_of_itself() -> None:
    decided = [
        at(0, 50, job="a"),
        at(10, 20, job="b"),
        at(15, 60, job="c"),
        at(21, 90, job="d"),
        at(50, job="e"),
    ]
    moments = moments_of(decided)
    history = History()
    for said in moments.by_history[:3]:
        assert np.array_equal(said, history.of(SUBJECT))
    history.add(SUBJECT, Seen(10.0, 20.0, 10.0))
    for said in moments.by_history[3:]:
        assert np.array_equal(said, history.of(SUBJECT))
    # What has ended since is in the history that is published.
    assert not np.array_equal(moments.history.of(SUBJECT), history.of(SUBJECT))


def test_what_ends_after_the_cut_was_still_on_then() -> None:
    decided = [at(0, 100), at(30, 100), at(90, 100)]
    moments = moments_of(decided)
    assert moments.seen(0) == Seen(90.0, 100.0, 0.0)
    assert moments.seen(0, 100_000) == Seen(90.0, None, 0.0)
    assert moments.seen(0, 31_000) == Seen(30.0, None, 0.0)
    assert moments.seen(1, 31_000) == Seen(30.0, None, 30.0)
    known = known_at(moments, 91_000)
    # The newest shows nothing yet.
    assert known.seen == [Seen(90.0, None, 0.0), Seen(90.0, None, 30.0)]
    assert np.array_equal(known.by_history, [merged(one) for one in moments.by_history[:2]])


def test_ages_count_from_where_the_decision_had_them() -> None:
    restarted = [at(0, 100, age_s=500.0), at(30, 100, age_s=0.0)]
    assert seen_of(restarted, restarted[0]) == Seen(530.0, 600.0, 500.0)
    assert seen_of(restarted, restarted[1]) == Seen(0.0, 70.0, 0.0)


@pytest.mark.parametrize(
    ("decided", "seen"),
    [
        ([at(100, 50)], Seen(100.0, 100.25, 100.0)),
        ([at(0, 100_000)], Seen(86_400.0, None, 0.0)),
        ([at(0), at(100_000)], Seen(86_400.0, None, 0.0)),
    ],
)
def test_clocks_that_differ_and_episodes_beyond_the_horizon_are_bounded(
    decided: list[Decided], seen: Seen
) -> None:
    assert seen_of(decided, decided[0]) == seen


def test_what_is_judged_is_the_newest_and_leaves_something_to_train_on() -> None:
    moments = moments_of(logged_of(50).decided)
    cut_ms = cut_of(moments)
    newer = sum(one.at_ms >= cut_ms for one in moments.decided)
    assert 0 < newer < len(moments) / 2
    assert cut_of(moments_of([at(0, 5, job="a"), at(1, 6, job="b")])) == 1000


def test_a_decision_without_a_vector_is_part_of_its_episode_and_not_asked_about() -> None:
    decided = [at(0, 100)._replace(vector=None), at(30, 100)]
    logged, moments = RetryLogged(decided), moments_of(decided)
    assert (logged.ends, logged.recoveries, len(moments)) == (1, 1, 1)
    assert moments.by_job["a"] == decided
