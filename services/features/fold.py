"""Fold outcomes: what a record of ``jobs.outcomes`` changes, for the changelog and for who decides."""

from collections.abc import Mapping
from typing import NamedTuple

from core.learning.aggregates import KeyAggregates
from core.learning.events import Key
from core.log import NewRecord, Record
from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from schemas.codec import decode_outcome
from schemas.feature_states import (
    Entry,
    Far,
    entry_key,
    entry_keys,
    far_bytes,
    read_entry_key,
    read_far,
    read_reports,
    read_second,
    report_puts,
    second_puts,
)
from schemas.features import FoldProgress, feature_record, known_bytes, progress_record, read_known, state_of
from schemas.outcomes import key_bytes, key_of, partition_of
from schemas.topics import RouteMap
from services.features.decide import Memory, PartitionFold, Step


class Changes(NamedTuple):
    """What a record changes in the table, in this order."""

    puts: list[tuple[bytes, bytes]]
    removed: list[bytes]


class OutcomeFold:
    """The folds of the partitions this instance owns, and what of them is not published yet."""

    def __init__(self, routes: RouteMap, meter: Meter) -> None:
        self._routes = routes
        self._meter = meter
        self._folds: dict[int, PartitionFold] = {}
        self._changed: dict[int, set[Key]] = {}
        self._told: dict[int, int] = {}

    def restore(self, partitions: Mapping[int, int], table: Mapping[bytes, bytes]) -> None:
        """Begin with these partitions alone, where the table says; one it does not know, at the offset given.

        All of them is published again: nobody knows whether the last changes were.
        """
        self._folds = restored_folds(partitions, table, self._routes.learning_partitions)
        self._changed = {partition: set(fold.states) for partition, fold in self._folds.items()}
        self._told = {}

    def next_offset(self, partition: int) -> int | None:
        """Give the offset of the record that is to be folded next; None: the partition is not owned."""
        fold = self._folds.get(partition)
        return None if fold is None else fold.next_offset

    def skip_to(self, partition: int, offset: int) -> None:
        """Go on at a later record: those before it are not there any more."""
        self._folds[partition].next_offset = offset

    def take(self, record: Record) -> Changes:
        """Fold the next record of its partition; give what it changes in the table."""
        fold = self._folds[record.partition]
        reached(Failpoint.OUTCOMES_READ)
        step = fold.take(record.offset, decode_outcome(record), record.timestamp_ms)
        self._changed[record.partition] |= step.changed
        for came, count in fold.came.items():
            self._meter.count(Metric.OUTCOMES, count, came=came.value)
        fold.came.clear()
        reached(Failpoint.SECONDS_CLOSED, when=step.changed)
        return changes_of(record.partition, record.offset, step, fold)

    def unpublished(self) -> list[NewRecord]:
        """Give and take what has changed since the last time: each key once; behind it, how far all is."""
        records: list[NewRecord] = []
        for partition, fold in self._folds.items():
            if self._told.get(partition) == fold.next_offset:
                continue
            self._told[partition] = fold.next_offset
            changed, self._changed[partition] = self._changed[partition], set()
            records += [feature_record(self._routes, partition, key, fold.states[key]) for key in changed]
            records.append(
                progress_record(self._routes, partition, FoldProgress(fold.next_offset, fold.end_ms))
            )
        self._meter.gauge(Metric.FEATURE_KEYS, sum(len(fold.states) for fold in self._folds.values()))
        return records


def changes_of(partition: int, offset: int, step: Step, fold: PartitionFold) -> Changes:
    """Give what a step changes in the table."""
    puts = [(key_bytes(key), known_bytes(fold.states[key])) for key in step.changed]
    puts += [put for one in step.closed for put in second_puts(partition, one)]
    if step.reports:
        puts += report_puts(partition, offset, step.reports)
    far = Far(fold.next_offset, fold.end_ms, fold.first_open_s)
    puts.append((entry_key(Entry.PROGRESS, partition), far_bytes(far)))
    gone = [(Entry.SECOND, *one) for one in step.forgotten] + [(Entry.RECORD, *one) for one in step.settled]
    removed = [key for entry, number, count in gone for key in entry_keys(entry, partition, number, count)]
    return Changes(puts, removed)


def restored_folds(
    partitions: Mapping[int, int], table: Mapping[bytes, bytes], count: int
) -> dict[int, PartitionFold]:
    """Begin the folds of some partitions again with what a table knows; it may hold a part of one more step.

    Parameters
    ----------
    partitions
        With the offset of the oldest record there is.
    count
        ``RouteMap.learning_partitions``.
    """
    states: dict[int, dict[Key, KeyAggregates]] = {partition: {} for partition in partitions}
    far = {partition: Far(start, 0, 0) for partition, start in partitions.items()}
    seconds: dict[int, _Parts] = {partition: {} for partition in partitions}
    records: dict[int, _Parts] = {partition: {} for partition in partitions}
    for name, value in table.items():
        entry = read_entry_key(name)
        if entry is None:
            key, known = key_of(name), read_known(value)
            home = partition_of(key, count)
            if home in states and known is not None:
                states[home][key] = state_of(known)
        elif entry.partition not in partitions:
            continue
        elif entry.entry == Entry.PROGRESS:
            far[entry.partition] = read_far(value)
        else:
            parts = seconds if entry.entry == Entry.SECOND else records
            parts[entry.partition].setdefault(entry.number, {})[entry.part] = value
    return {
        partition: PartitionFold(
            partition, count, states[partition], _memory(at, seconds[partition], records[partition])
        )
        for partition, at in far.items()
    }


_Parts = dict[int, dict[int, bytes]]
"""Of entries, by their number and then by part."""


def _memory(at: Far, seconds: _Parts, records: _Parts) -> Memory:
    """Leave out what belongs to the step that was not finished: it is made again."""
    return Memory(
        at.next_offset,
        at.end_ms,
        at.first_open_s,
        tuple(
            (second, read_second(_in_order(parts)))
            for second, parts in sorted(seconds.items())
            if second < at.first_open_s
        ),
        {
            offset: read_reports(_in_order(parts))
            for offset, parts in records.items()
            if offset < at.next_offset
        },
    )


def _in_order(parts: Mapping[int, bytes]) -> list[bytes]:
    return [data for _, data in sorted(parts.items())]
