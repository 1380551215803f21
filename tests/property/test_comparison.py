"""A table agrees with a fold of what is left of the ledger, wherever that was trimmed."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.comparison import MARGIN_MS, Image, KnownFrom, compare
from adapters.postgres.refold import fresh_fold, image_of
from core.ledger.snapshot import chunks_of, fold_from
from core.log import Record
from core.rows_table import empty_table, gather
from schemas.ledger import LedgerFolds
from tests.support.ledger_stories import (
    BASE_MS,
    EPOCH,
    Event,
    accepted,
    claimed,
    job_id_of,
    queued,
    stories,
    succeeded,
    written,
)


def refolded(records: list[Record], cuts: list[int]) -> tuple[Image, dict[int, KnownFrom]]:
    """Fold what is left of two partitions, each from a snapshot at its cut."""
    early, late = LedgerFolds(EPOCH, with_notes=True), LedgerFolds(EPOCH, with_notes=True)
    early.take(record for record in records if record.offset < cuts[record.partition])
    for partition in range(2):
        late.adopt(partition, fold_from(list(chunks_of(early.fold(partition).image()))))
    left = [record for record in records if record.offset >= late.next_offset(record.partition)]
    table = empty_table()
    gather(table, late.take(left))
    known = {
        partition: KnownFrom(
            early.next_offset(partition),
            next((record.timestamp_ms for record in left if record.partition == partition), None),
        )
        for partition in range(2)
        if early.next_offset(partition)
    }
    return image_of(table), known


@given(stories(), st.lists(st.integers(0, 20), min_size=2, max_size=2))
def test_a_true_table_agrees_with_what_any_trimming_left(events: list[Event], cuts: list[int]) -> None:
    records = written(events)
    compared = compare(*refolded(records, cuts), fresh_fold(records, EPOCH), 2)
    assert compared.differences == []


OLD: list[Event] = [accepted(0), queued(0), claimed(0)]
"""Trimmed; what follows of the same job is not."""
ENDED: list[Event] = [*OLD, succeeded(0)]
HOME = written(OLD)[0].partition
LATER_MS = BASE_MS + MARGIN_MS + 1000
YOUNG = next(job for job in (2, 4, 6, 8) if written([accepted(job)])[0].partition == HOME)
EVENTS: list[Event] = [*ENDED, accepted(YOUNG, submitted_ms=LATER_MS), claimed(YOUNG)]


def left_of(records: list[Record], trimmed: int) -> tuple[Image, dict[int, KnownFrom]]:
    return refolded(records, [trimmed if partition == HOME else 0 for partition in range(2)])


def planted(name: str, column: str, value: object) -> list[str]:
    records = written(EVENTS)
    found = fresh_fold(records, EPOCH)
    found[name][column] = value
    return compare(*left_of(records, len(OLD)), found, 2).differences


def test_a_wrong_end_of_a_job_that_is_older_than_the_ledger_is_named() -> None:
    job = f"jobs/{job_id_of(0)}"
    assert planted(job, "state_rank", 1) != []
    assert planted(job, "run_s", 99.0) == [f"{job}: run_s is 99.0, the log says 0.25"]
    assert planted(job, "type", "something that was trimmed") == []


def test_all_of_a_job_that_is_younger_than_the_ledger_is_compared() -> None:
    name = f"jobs/{job_id_of(YOUNG)}"
    assert planted(name, "bucket", 3) == [f"{name}: bucket is 3, the log says None"]


def test_a_missing_row_of_either_is_named() -> None:
    records = written(EVENTS)
    for job in (0, YOUNG):
        found, name = fresh_fold(records, EPOCH), f"jobs/{job_id_of(job)}"
        del found[name]
        compared = compare(*left_of(records, len(OLD)), found, 2)
        assert compared.differences == [f"{name}: the log has it, the table has not"]


def test_rows_of_which_nothing_is_left_are_counted_and_not_judged() -> None:
    records = written(ENDED)
    compared = compare(*left_of(records, len(records)), fresh_fold(records, EPOCH), 2)
    assert compared.differences == []
    assert (compared.left_out, compared.in_part) == (2, 0)
    assert "2 rows older than it were not compared" in compared.omission
