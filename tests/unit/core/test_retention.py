"""The mark: what holds it, and that it is never beyond."""

import pytest

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Verdict
from core.log import TopicPartition
from core.retention import (
    Hold,
    Reason,
    SnapshotAt,
    TrimRule,
    ledger_mark,
    mark_of,
    open_holds,
    reader_holds,
)
from tests.support.verdicts import EPOCH, JOB_ID, About

JOBS = TopicPartition("jobs", 0)
EXEC = TopicPartition("jobs.exec.default.b0", 0)
DLQ = TopicPartition("jobs.dlq", 0)
HOUR_MS = 3_600_000


def holds_after(*verdicts: Verdict) -> dict[TopicPartition, Hold]:
    fold = LedgerFold(EPOCH)
    for offset, verdict in enumerate(verdicts):
        assert fold.apply(offset, offset, verdict).holds
    return open_holds(fold.open.values(), 0, DLQ.topic)


def test_the_slowest_group_holds_the_mark_and_is_named() -> None:
    committed = {"a": {JOBS: 9}, "b": {JOBS: 4}}
    assert mark_of(10, reader_holds(JOBS, ["a", "b"], committed)) == Hold(4, Reason.READER, "b")


def test_a_group_that_never_committed_holds_everything() -> None:
    committed = {"a": {JOBS: 9}, "b": {TopicPartition("jobs", 1): 9}}
    for group in ("b", "unheard"):
        assert mark_of(10, reader_holds(JOBS, ["a", group], committed)) == Hold(0, Reason.READER, group)


def test_nothing_holds_what_everybody_has_read() -> None:
    assert mark_of(10, reader_holds(JOBS, ["a"], {"a": {JOBS: 10}})) == Hold(10, Reason.READ)
    assert mark_of(0, reader_holds(JOBS, ["a"], {})) == Hold(0, Reason.READ)


A = About()
CLAIM = Hold(5, Reason.OPEN_JOB, f"job {JOB_ID}")


@pytest.mark.parametrize(
    ("verdicts", "held"),
    [
        ([], {}),
        ([A.claimed()], {EXEC: 5}),
        ([A.claimed(), A.succeeded()], {}),
        ([A.claimed(), A.failed()], {DLQ: 3}),
        ([A.claimed(), A.failed(), A.hold()], {DLQ: 3}),
        ([A.claimed(), A.failed(), A.retry()], {}),
        ([A.claimed(), A.failed(), A.dead()], {}),
        ([A.claimed(), A.lost()], {DLQ: 4}),
        ([A.claimed(), A.released()], {EXEC: 5}),
        ([A.claimed(), A.released(), A.retry()], {}),
        ([A.claimed(), A.released(), A.retry(), A.claimed(2)], {EXEC: 5}),
        ([A.preempted()], {DLQ: 6}),
        ([A.claimed(), A.failed(), A.retry(), A.preempted(2)], {DLQ: 6}),
    ],
)
def test_an_open_job_holds_the_record_it_may_be_read_from_again(
    verdicts: list[Verdict], held: dict[TopicPartition, int]
) -> None:
    assert {place: hold.offset for place, hold in holds_after(*verdicts).items()} == held


def test_the_oldest_of_several_open_jobs_counts() -> None:
    other = About(f"{EPOCH}:0:8", "01890000-0000-7000-8000-000000000008")
    assert holds_after(A.claimed(), other.claimed(), other.succeeded())[EXEC] == CLAIM


SNAPSHOTS = [SnapshotAt(100, 1000), SnapshotAt(200, 2000), SnapshotAt(300, 3000)]
READ = Hold(350, Reason.READ)


@pytest.mark.parametrize(
    ("limit", "now_ms", "mark", "reason"),
    [
        (READ, 2500, 100, Reason.AGE),
        (READ, 3000, 200, Reason.AGE),
        (READ, 9000, 300, Reason.SNAPSHOT),
        (READ, 1500, 0, Reason.AGE),
        (Hold(250, Reason.READER, "g"), 9000, 200, Reason.READER),
        (Hold(200, Reason.READER, "g"), 9000, 200, Reason.READER),
        (Hold(50, Reason.READER, "g"), 9000, 0, Reason.READER),
    ],
)
def test_the_ledger_goes_to_an_old_snapshot_below_every_reader(
    limit: Hold, now_ms: int, mark: int, reason: Reason
) -> None:
    found = ledger_mark(limit, SNAPSHOTS, now_ms, 1000)
    assert (found.offset, found.reason) == (mark, reason)


def test_a_ledger_without_snapshots_stays_whole() -> None:
    assert ledger_mark(READ, [], 1 << 50, 0).offset == 0


def test_above_its_cap_the_ledger_is_trimmed_earlier_and_said_so_before() -> None:
    rule = TrimRule(ledger_keep_ms=HOUR_MS, ledger_max_bytes=100, dlq_keep_ms=HOUR_MS, step_records=1)
    assert (rule.keep_ms(100), rule.keep_ms(101)) == (HOUR_MS, 0)
    assert (rule.is_near_cap(80), rule.is_near_cap(81)) == (False, True)


def test_little_is_not_worth_a_request_and_nothing_moves_back() -> None:
    rule = TrimRule(0, 1, 0, step_records=10)
    assert [rule.is_worth_it(100, mark) for mark in (50, 100, 109, 110)] == [False, False, False, True]
