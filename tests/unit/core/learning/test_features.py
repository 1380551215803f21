"""Features of decisions: their names, their defaults, and what they say of a history."""

import math

import pytest

from core.learning.aggregates import KeyAggregates, restored
from core.learning.events import DID_NOT_RUN, Ended, Kind, Status, Submitted, keys_of
from core.learning.features import COLUMN, FEATURES, JobFacts, features
from core.learning.fold import FeatureFold
from core.learning.seconds import LAG_MS

T0_MS = 1_700_000_000_000
KEYS = keys_of("acme", "report", "report-7")


def _fold(*statuses: Status, run_ms: int = 9_999) -> FeatureFold:
    fold = FeatureFold()
    for number, status in enumerate(statuses):
        ready_ms = T0_MS + 20_000 * number
        fold.take(Submitted(ready_ms, str(number), 1, 99), KEYS)
        fold.take(Ended(ready_ms + run_ms, str(number), 1, run_ms, status, ready_ms), KEYS)
    return fold


def _after(fold: FeatureFold, jobs: int, facts: JobFacts | None = None) -> dict[str, float]:
    vector = fold.decide(KEYS, facts or JobFacts(), T0_MS + 20_000 * jobs)
    return {name: vector[place] for name, place in COLUMN.items()}


def test_names_are_unique_and_every_feature_has_a_unit() -> None:
    assert len(COLUMN) == len(FEATURES)
    assert all(feature.unit for feature in FEATURES)


def test_without_history_every_feature_has_its_default() -> None:
    vector = features([None] * len(Kind), JobFacts(), T0_MS)
    clock = {COLUMN["hour"], COLUMN["weekday"]}
    for place, feature in enumerate(FEATURES):
        if place not in clock:
            assert vector[place] == pytest.approx(feature.default, nan_ok=True), feature.name


def test_a_key_that_is_not_given_counts_as_without_history() -> None:
    state = KeyAggregates(at_s=T0_MS // 1000)
    short = features([state] * 4, JobFacts(), T0_MS)
    assert short.tobytes() == features([*[state] * 4, None], JobFacts(), T0_MS).tobytes()


def test_history_shows_in_every_key_of_the_job() -> None:
    seen = _after(_fold(Status.OK, Status.FAILED, Status.FAILED), 3)
    for kind in Kind:
        of_key = f"{kind.name.lower()}."
        assert seen[of_key + "last_run"] == pytest.approx(math.log(10_000))
        assert seen[of_key + "failed_24h"] == pytest.approx(2 / 3, abs=1e-3)
        assert seen[of_key + "streak"] == 2
        assert seen[of_key + "last_status"] == Status.FAILED
        assert seen[of_key + "in_flight"] == 0
    assert seen["expected_run"] == pytest.approx(math.log(10_000))
    assert 0.3 < seen["expected_failed"] < 2 / 3
    assert seen["ever_failed"] == pytest.approx(seen["expected_failed"], rel=1e-2)


def test_what_runs_is_in_flight_with_its_age() -> None:
    fold = FeatureFold()
    fold.take(Submitted(T0_MS, "0", 1), KEYS)
    vector = fold.decide(KEYS, JobFacts(), T0_MS + 60_000)
    assert vector[COLUMN["tenant_type.in_flight"]] == 1
    assert vector[COLUMN["tenant_type.in_flight_age"]] == pytest.approx(math.log(61))


def test_a_decision_does_not_see_the_seconds_within_the_lag() -> None:
    fold = FeatureFold()
    fold.take(Submitted(T0_MS, "0", 1), KEYS)
    assert fold.decide(KEYS, JobFacts(), T0_MS + LAG_MS + 999)[COLUMN["everything.in_flight"]] == 0
    assert fold.decide(KEYS, JobFacts(), T0_MS + LAG_MS + 1000)[COLUMN["everything.in_flight"]] == 1


def test_facts_of_the_job_stand_beside_its_history() -> None:
    facts = JobFacts(priority=7, payload_bytes=9_999, timeout_s=59, deadline_ms=T0_MS + 25_000, attempt=2)
    seen = _after(_fold(Status.OK), 1, facts)
    assert seen["priority"] == 7
    assert seen["attempt"] == 2
    assert seen["deadline_slack"] == 5
    assert seen["timeout"] == pytest.approx(math.log(60))
    assert seen["payload_to_type"] == pytest.approx(math.log(100))
    # T0 is 22:13:20 UTC on a Tuesday.
    assert seen["hour"] == pytest.approx(22 + 13 / 60)
    assert seen["weekday"] == 1


def test_bytes_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="not an image"):
        restored(b"short")


def test_what_ended_without_running_is_counted_and_says_nothing_about_runs() -> None:
    fold = _fold(Status.OK, run_ms=1_000)
    before = _after(fold, 3)
    ready_ms = T0_MS + 60_000
    for number, status in enumerate((Status.LOST, Status.CANCELLED, Status.EXPIRED), start=7):
        fold.take(Submitted(ready_ms, str(number), 1, 99), KEYS)
        fold.take(Ended(ready_ms + 900, str(number), 1, DID_NOT_RUN, status, ready_ms), KEYS)
    after = _after(fold, 6)
    assert after["type.in_flight"] == 0
    assert after["type.ends"] == pytest.approx(math.log(1 + 4))
    same = (
        "run",
        "run_slow",
        "run_spread",
        "last_run",
        "last_status",
        "streak",
        "failed_share",
        "cancelled_share",
    )
    assert {name: after[f"type.{name}"] for name in same} == {name: before[f"type.{name}"] for name in same}


def test_a_key_of_which_nothing_ever_ran_has_the_defaults_of_one_without_ends() -> None:
    fold = FeatureFold()
    fold.take(Submitted(T0_MS, "7", 1, 99), KEYS)
    fold.take(Ended(T0_MS + 900, "7", 1, DID_NOT_RUN, Status.LOST, T0_MS), KEYS)
    after = _after(fold, 1)
    assert math.isnan(after["type.run"])
    assert math.isnan(after["type.last_run"])
    assert after["type.ends"] == pytest.approx(math.log(2))
