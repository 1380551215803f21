"""All schedules of some partitions, folded from the topic ``schedules``, and which of them are due. No I/O.

The last record of a key counts, as compaction keeps it; of how far a schedule has fired, the furthest.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import NamedTuple

from core.cron import CronError
from core.log import Record
from core.schedules import Due, Segment, due, wakes_at
from schemas.schedules import (
    Defined,
    Deleted,
    Fired,
    decode_definition,
    decode_schedule,
    fired_key,
    segments_of,
)

HEAP_SLACK = 1000
"""Most entries of the queue that nobody needs any more, beside as many as there are schedules."""


class View(NamedTuple):
    """One schedule, read out for somebody."""

    defined: Defined
    defined_ms: int
    """Append time of the definition."""
    segments: tuple[Segment, ...]
    partition: int
    fired: Fired
    """As it stands; of one that never fired, a record that says so."""


class _Reach(NamedTuple):
    """How far a schedule has fired, without the names that stand in its key."""

    partition: int
    through_ms: int
    last_ms: int | None
    fired: int
    next_ms: int | None


class _Entry:
    """A schedule in memory: its record as it was read (some 500 bytes), and three numbers."""

    __slots__ = ("at_ms", "due_ms", "partition", "value")

    def __init__(self, partition: int, value: bytes, at_ms: int) -> None:
        self.partition = partition
        self.value = value
        self.at_ms = at_ms
        self.due_ms: int | None = None


class ScheduleBook:
    """The fold.

    Parameters
    ----------
    on_broken
        Told of a schedule whose ticks cannot be computed (a zone or an expression that this version does not
        know): it is left alone, the others go on.
    """

    def __init__(self, on_broken: Callable[[str, Exception], None] = lambda _name, _error: None) -> None:
        self._on_broken = on_broken
        self._entries: dict[str, _Entry] = {}
        self._reached: dict[bytes, _Reach] = {}
        """By the key of ``Fired``."""
        self._dirty: set[str] = set()
        self._queue: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[str]:
        """Give all names, in order."""
        return sorted(self._entries)

    def take(self, records: Iterable[Record]) -> None:
        """Fold records of ``schedules``, in offset order within each partition.

        Raises
        ------
        schemas.codec.UnreadableRecordError
            The service stops.
        """
        for record in records:
            if record.value is None:
                self._reached.pop(record.key or b"", None)
                continue
            match decode_schedule(record):
                case Defined(name=name):
                    self._entries[name] = _Entry(record.partition, record.value, record.timestamp_ms)
                    self._dirty.add(name)
                case Deleted(name=name):
                    self._entries.pop(name, None)
                case Fired() as fired:
                    self.settle(record.partition, fired)

    def settle(self, partition: int, fired: Fired) -> None:
        """Note how far a schedule has fired; what is known to be further stays."""
        key = fired_key(fired.name, fired.incarnation)
        known = self._reached.get(key)
        if known is None or fired.through_ms > known.through_ms:
            self._reached[key] = _Reach(
                partition, fired.through_ms, fired.last_ms, fired.fired, fired.next_ms
            )
            self._dirty.add(fired.name)

    def forget(self, partitions: frozenset[int]) -> None:
        """Drop everything of partitions that are not followed any more."""
        self._entries = {n: one for n, one in self._entries.items() if one.partition not in partitions}
        self._reached = {k: one for k, one in self._reached.items() if one.partition not in partitions}

    def view(self, name: str) -> View | None:
        """Read out one schedule; None when there is none of that name."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        defined = decode_definition(entry.value)
        segments = segments_of(defined, entry.at_ms)
        reach = self._reached.get(fired_key(name, defined.incarnation))
        fired = Fired(name, defined.incarnation, segments[0].since_ms)
        if reach is not None:
            fired = Fired(name, defined.incarnation, *reach[1:])
        return View(defined, entry.at_ms, segments, entry.partition, fired)

    def refresh(self, limit: int) -> bool:
        """Compute when schedules that changed are due, at most so many; say whether all are done."""
        for _ in range(min(limit, len(self._dirty))):
            self._plan(self._dirty.pop())
        if len(self._queue) > 2 * len(self._entries) + HEAP_SLACK:
            self._queue = [(e.due_ms, n) for n, e in self._entries.items() if e.due_ms is not None]
            heapq.heapify(self._queue)
        return not self._dirty

    def _plan(self, name: str) -> None:
        due_ms = None
        try:
            view = self.view(name)
            if view is None:
                return
            due_ms = wakes_at(view.segments, view.fired.through_ms)
        except (CronError, ValueError) as error:
            self._on_broken(name, error)
        self._entries[name].due_ms = due_ms
        if due_ms is not None:
            heapq.heappush(self._queue, (due_ms, name))

    def next_due_ms(self) -> int | None:
        """Give the broker time at which the first schedule is due; None when none ever is."""
        while self._queue and not self._is_current(*self._queue[0]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def take_due(self, now_ms: int, ticks_max: int, each_max: int) -> list[tuple[View, Due]]:
        """Give what is due, the longest due first, until so many ticks are found; each is refreshed later.

        A schedule with more than ``each_max`` ticks to fire comes again, so that it holds up no other.
        """
        found: list[tuple[View, Due]] = []
        ticks = 0
        while ticks < ticks_max:
            due_ms = self.next_due_ms()
            if due_ms is None or due_ms > now_ms:
                break
            name = heapq.heappop(self._queue)[1]
            self._entries[name].due_ms = None
            self._dirty.add(name)
            view = self.view(name)
            assert view is not None
            what = due(view.segments, view.defined.rules, view.fired.through_ms, now_ms, each_max)
            if what is not None:
                ticks += len(what.fire)
                found.append((view, what))
        return found

    def _is_current(self, due_ms: int, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.due_ms == due_ms
