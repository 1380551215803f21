"""How far topics may be trimmed: never past what anybody may still have to read. Pure.

A topic partition's records may go below its *mark*: the lowest offset that somebody holds. Who has
committed nothing holds everything, so a pool that was configured and never ran loses nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from core.ledger.open_job import OpenJob, Phase
from core.ledger.verdicts import Failed, Lost, Released
from core.log import Coordinate, TopicPartition


class Reason(StrEnum):
    """Why the mark is where it is."""

    READ = "read"
    """All readers are at the end; nothing holds it."""
    READER = "reader"
    """A group has not committed further."""
    OPEN_JOB = "open_job"
    """A job that is not settled may have to be read again from there."""
    HELD_JOB = "held_job"
    """It waits there until what it is held for is over."""
    AGE = "age"
    """What follows is younger than it is kept for."""
    KNOWN_KEYS = "known_keys"
    """Who passed the id gate there is written down nowhere else yet."""
    GATES = "gates"
    """The scheduler's gates begin there after a restart, or a job that waits stands there."""
    SNAPSHOT = "snapshot"
    """No snapshot to begin at follows."""


class Hold(NamedTuple):
    """Nothing from ``offset`` on may go."""

    offset: int
    reason: Reason
    holder: str = ""
    """Who; for people."""


def reader_holds(
    partition: TopicPartition, groups: Iterable[str], committed: Mapping[str, Mapping[TopicPartition, int]]
) -> list[Hold]:
    """Give a hold for every group that reads a partition; at 0 for one that never committed."""
    return [Hold(committed.get(group, {}).get(partition, 0), Reason.READER, group) for group in groups]


def sources_of(job: OpenJob, partition: int, dlq: str) -> list[Coordinate]:
    """Give the records from which an open job may have to be read again.

    The dispatch while it is claimed or handed back, for whoever declares it lost or hands it on; the
    record of ``jobs.dlq`` from the closure until its decision. A job whose decision was carried out
    travels on in a record that its next reader has not committed: it needs none of these.
    """
    match job.phase:
        case Phase.UNCLAIMED:
            return []
        case Phase.CLAIMED:
            return _claimed_from(job)
        case Phase.CLOSED | Phase.HELD:
            return _closed_from(job, partition, dlq)


def _claimed_from(job: OpenJob) -> list[Coordinate]:
    claim = job.claim
    return [] if claim is None else [Coordinate(claim.topic, claim.partition, claim.offset)]


def _closed_from(job: OpenJob, partition: int, dlq: str) -> list[Coordinate]:
    sources: list[Coordinate] = []
    match job.closure:
        case Failed() | Lost() as closure if closure.n == job.n:
            sources.append(Coordinate(dlq, partition, closure.dlq_offset))
        case Released() as closure if closure.n == job.n:
            sources.extend(_claimed_from(job))
        case _:
            pass
    if job.preempted is not None and job.preempted.n == job.n:
        sources.append(Coordinate(dlq, partition, job.preempted.dlq_offset))
    return sources


def open_holds(jobs: Iterable[OpenJob], partition: int, dlq: str) -> dict[TopicPartition, Hold]:
    """Give, per topic partition, the oldest record that an open job may be read from."""
    holds: dict[TopicPartition, Hold] = {}
    for job in jobs:
        for source in sources_of(job, partition, dlq):
            place = TopicPartition(source.topic, source.partition)
            held = holds.get(place)
            if held is None or source.offset < held.offset:
                holds[place] = Hold(source.offset, Reason.OPEN_JOB, f"job {job.job_id}")
    return holds


def mark_of(end: int, holds: Iterable[Hold]) -> Hold:
    """Give the lowest hold; the end itself when nothing is held below it."""
    read = Hold(end, Reason.READ)
    lowest = min(holds, key=lambda hold: hold.offset, default=read)
    return lowest if lowest.offset < end else read


class SnapshotAt(NamedTuple):
    """A snapshot of a ledger partition that is kept."""

    next_offset: int
    written_ms: int
    """Broker time; every record below its offset is older."""


def ledger_mark(limit: Hold, snapshots: Collection[SnapshotAt], now_ms: int, keep_ms: int) -> Hold:
    """Give the mark of a ledger partition: a snapshot's offset, below all readers, and old enough.

    Parameters
    ----------
    limit
        The mark as far as readers go.
    keep_ms
        No younger record may go.
    """
    below = [snapshot for snapshot in snapshots if snapshot.next_offset <= limit.offset]
    old = [snapshot.next_offset for snapshot in below if snapshot.written_ms <= now_ms - keep_ms]
    mark = max(old, default=0)
    if mark == limit.offset:
        return limit
    younger = any(snapshot.next_offset > mark for snapshot in below)
    if younger:
        return Hold(mark, Reason.AGE, f"kept for {keep_ms // 1000} s")
    beyond = any(snapshot.next_offset > limit.offset for snapshot in snapshots)
    return limit._replace(offset=mark) if beyond else Hold(mark, Reason.SNAPSHOT, "no newer snapshot")


class TrimRule(NamedTuple):
    """How long things are kept, and how much must be free to go before anything does."""

    ledger_keep_ms: int
    ledger_max_bytes: int
    """Of one partition; above it the ledger is trimmed to a younger snapshot; never past a reader."""
    dlq_keep_ms: int
    step_records: int

    def dlq_hold(self, offset: int) -> Hold:
        """Hold failed attempts from the first one on that is too young to go."""
        return Hold(offset, Reason.AGE, f"kept for {self.dlq_keep_ms // 1000} s")

    def keep_ms(self, size_bytes: int) -> int:
        """Give how long a ledger partition of this size is kept."""
        return 0 if size_bytes > self.ledger_max_bytes else self.ledger_keep_ms

    def is_near_cap(self, size_bytes: int) -> bool:
        """Whether a person should know before the cap bites."""
        return size_bytes > self.ledger_max_bytes * ALARM_SHARE

    def is_worth_it(self, start: int, mark: int) -> bool:
        """Whether enough would go."""
        return mark - start >= max(1, self.step_records)


ALARM_SHARE = 0.8
"""Of the cap; at a steady rate a fifth of ``ledger_keep`` remains to act."""
