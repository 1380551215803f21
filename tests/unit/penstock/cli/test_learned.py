import math

import pytest

from adapters.embedded.checks import Outcome
from core.log import NewRecord, Record
from penstock.cli.learned import LATE_S, check_features, lag_s
from schemas.features import FoldProgress, progress_record
from schemas.outcomes import outcome_records
from schemas.topics import RouteMap

ROUTES = RouteMap(partitions=2)
NOW_MS = 1_700_000_000_000


def as_read(record: NewRecord) -> Record:
    return Record(record.topic, record.partition, 7, NOW_MS, record.key, record.value, ())


def told(end_ms: int) -> dict[int, Record]:
    records = outcome_records(ROUTES, "executor-0", 1, end_ms, [], range(2))
    return {record.partition: as_read(record) for record in records}


def folded(*ends_ms: int) -> dict[int, Record]:
    return {p: as_read(progress_record(ROUTES, p, FoldProgress(3, end))) for p, end in enumerate(ends_ms)}


def test_the_partition_that_is_most_behind_counts() -> None:
    assert lag_s(told(NOW_MS), folded(NOW_MS - 4_000, NOW_MS - 20_000)) == 20
    assert lag_s(told(NOW_MS), folded(NOW_MS, NOW_MS)) == 0
    assert lag_s({}, {}) == 0


def test_a_reporter_whose_clock_is_ahead_makes_nothing_late() -> None:
    assert lag_s(told(NOW_MS + 3_600_000), folded(NOW_MS, NOW_MS)) == 0


def test_what_was_never_folded_is_said() -> None:
    assert lag_s(told(NOW_MS), {}) == math.inf
    check = check_features(math.inf)
    assert (check.outcome, check.remedy != "") == (Outcome.WARNING, True)


@pytest.mark.parametrize(("seconds", "outcome"), [(LATE_S, Outcome.GOOD), (LATE_S + 1, Outcome.WARNING)])
def test_features_are_late_from_a_bound_on(seconds: float, outcome: Outcome) -> None:
    assert check_features(seconds).outcome is outcome
