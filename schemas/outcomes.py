"""Records of ``jobs.outcomes``: what became of dispatches, told once a second by whoever saw it.

A job belongs to several keys (``core.learning.events.keys_of``), and each key has its home on one partition.
What happened to a job is told to each of these partitions, so whoever reads one partition knows all about
the keys at home there, and needs no other.
"""

import functools
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from core.learning.events import Ended, Event, Key, Keys, Kind, Submitted, keys_of
from core.log import NewRecord, size_bytes
from schemas.topics import APPEND_MAX_BYTES, RouteMap

encode = msgspec.json.Encoder().encode


class Subject(NamedTuple):
    """What learning knows of a job besides its dispatches."""

    tenant: str
    type: str
    name: str = ""

    @property
    def keys(self) -> Keys:
        """The keys its history belongs to."""
        return keys_of(self.tenant, self.type, self.name)


class History(msgspec.Struct, frozen=True, array_like=True):
    """What happened to the jobs of one subject."""

    subject: Subject
    submits: tuple[Submitted, ...] = ()
    ends: tuple[Ended, ...] = ()


class SeenRun(NamedTuple):
    """A run that a model had predicted: what trust in it rests on."""

    model: str
    by_model: int
    by_mean: int
    """Buckets, as ``schemas.accepted_job.Predicted`` has them."""
    run: float
    """Natural log of 1 + run time in ms."""


class Calls(NamedTuple):
    """How many calls of one circuit ended in a second, of one tenant."""

    circuit: str
    uses: tuple[str, ...]
    tenant: str
    ok: int
    bad: int
    """Such that may mean that what is called is down."""


class OutcomeBatch(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one reporter has to say on one partition; without histories it says only how late it is.

    ``type`` and ``tenant`` are empty: earlier versions, which wrote a record for each, ask for them.
    """

    type: str
    tenant: str
    executor: str
    """Instance that reports, whatever service it is of."""
    seq: int
    """Counts the reports of this instance since its start."""
    end_ms: int
    """Broker time of the report; all it tells of happened before."""
    histories: tuple[History, ...] = ()
    seen: tuple[SeenRun, ...] = ()
    """On the partition of ``SEEN_PARTITION`` alone, so that there is one order of them."""
    calls: tuple[Calls, ...] = ()
    """There, too."""


SEEN_PARTITION = 0


def told_ms(batch: OutcomeBatch, appended_ms: int) -> int:
    """Give the time a report was made, broker time: its reporter's estimate, no later than its append."""
    return min(batch.end_ms, appended_ms)


class Report(NamedTuple):
    """One thing to be told."""

    subject: Subject
    event: Event


def reports_of(batch: OutcomeBatch) -> list[Report]:
    """Give everything a batch tells."""
    reports: list[Report] = []
    for subject, submits, ends in ((one.subject, one.submits, one.ends) for one in batch.histories):
        reports.extend(Report(subject, event) for event in submits)
        reports.extend(Report(subject, event) for event in ends)
    return reports


def key_bytes(key: Key) -> bytes:
    """Write a key as records carry it."""
    return encode([int(key.kind), key.tenant, key.type, key.name])


def key_of(data: bytes) -> Key:
    """Read a key that ``key_bytes`` wrote."""
    kind, tenant, type_, name = msgspec.json.decode(data, type=tuple[int, str, str, str])
    return Key(Kind(kind), tenant, type_, name)


def partition_of(key: Key, partitions: int) -> int:
    """Give the partition at which a key is at home.

    Parameters
    ----------
    partitions
        ``RouteMap.learning_partitions``.
    """
    return zlib.crc32(key_bytes(key)) % partitions


@functools.lru_cache(maxsize=8192)
def homes(subject: Subject, partitions: int) -> frozenset[int]:
    """Give the partitions at which the keys of a subject are at home."""
    return frozenset(partition_of(key, partitions) for key in subject.keys)


def outcome_records(
    routes: RouteMap,
    source: str,
    seq: int,
    end_ms: int,
    reports: Iterable[Report],
    ticks: Iterable[int] = (),
    seen: Sequence[SeenRun] = (),
    calls: Sequence[Calls] = (),
) -> list[NewRecord]:
    """Make the records that tell all this, one a partition unless it is too large for that.

    Parameters
    ----------
    ticks
        Partitions that are told the time even if there is nothing else to say.
    seen
        Runs that a model had predicted.
    calls
        How calls of circuits ended.
    """
    by_subject: dict[Subject, tuple[list[Submitted], list[Ended]]] = {}
    for subject, event in reports:
        submits, ends = by_subject.setdefault(subject, ([], []))
        if isinstance(event, Submitted):
            submits.append(event)
        else:
            ends.append(event)
    told: dict[int, list[History]] = {partition: [] for partition in ticks}
    for subject, (submits, ends) in by_subject.items():
        history = History(subject, tuple(submits), tuple(ends))
        for partition in homes(subject, routes.learning_partitions):
            told.setdefault(partition, []).append(history)
    records = [
        record
        for partition, histories in sorted(told.items())
        for record in _records(routes, OutcomeBatch("", "", source, seq, end_ms, tuple(histories)), partition)
    ]
    if seen or calls:
        batch = OutcomeBatch("", "", source, seq, end_ms, seen=tuple(seen), calls=tuple(calls))
        records.append(_record(routes, batch, SEEN_PARTITION))
    return records


def _records(routes: RouteMap, batch: OutcomeBatch, partition: int) -> list[NewRecord]:
    record = _record(routes, batch, partition)
    events = sum(len(history.submits) + len(history.ends) for history in batch.histories)
    if size_bytes(record) <= APPEND_MAX_BYTES or events <= 1:
        return [record]
    halves = _halves(batch.histories)
    return [
        record
        for half in halves
        for record in _records(routes, msgspec.structs.replace(batch, histories=half), partition)
    ]


def _record(routes: RouteMap, batch: OutcomeBatch, partition: int) -> NewRecord:
    return NewRecord(routes.outcomes, partition, batch.executor.encode(), encode(batch))


def _halves(histories: Sequence[History]) -> tuple[tuple[History, ...], tuple[History, ...]]:
    if len(histories) > 1:
        middle = len(histories) // 2
        return tuple(histories[:middle]), tuple(histories[middle:])
    subject, submits, ends = histories[0].subject, histories[0].submits, histories[0].ends
    first = History(subject, submits[: len(submits) // 2], ends[: len(ends) // 2])
    return (first,), (History(subject, submits[len(submits) // 2 :], ends[len(ends) // 2 :]),)
