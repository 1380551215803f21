"""Hold records of the wheel in memory for the last seconds, instead of sending them through short tiers."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from core.log import Record, TopicPartition
from core.offsets import OffsetTracker
from services.scheduler.hold import held_bytes

HOLD_MS = 4000
"""Longest remainder that is held. It saves about half of all hops of a job, and makes it late by a turn of
the loop instead of by a tick. Meanwhile the tier's commit stands still, so a crash releases the last
seconds again, which the ledger refuses."""
HELD_MAX_BYTES = 33_554_432
"""Most bytes of keys and values held; what comes above it hops on, which takes no memory."""


class LastStretch:
    """Records that have left their tier and are due within ``HOLD_MS``, and how far each tier is handed over.

    Parameters
    ----------
    due_ms_of
        Reads when a record is due, broker time.
    """

    def __init__(self, due_ms_of: Callable[[Record], int]) -> None:
        self._due_ms_of = due_ms_of
        self._waiting: list[tuple[int, int, Record]] = []
        """Heap of due time, number and record."""
        self._number = 0
        self._size_bytes = 0
        self._handled: dict[TopicPartition, OffsetTracker] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def clear(self) -> None:
        """Forget everything: after a rebalance each partition is read again from its position."""
        self._waiting.clear()
        self._size_bytes = 0
        self._handled.clear()

    def take(self, records: Iterable[Record], now_ms: int) -> list[Record]:
        """Hold what is due soon; give the rest, which goes on now. In offset order within each partition."""
        going: list[Record] = []
        for record in records:
            self._tracker(record).add(record.offset)
            due_ms = self._due_ms_of(record)
            if now_ms < due_ms <= now_ms + HOLD_MS and self._size_bytes < HELD_MAX_BYTES:
                self._number += 1
                self._size_bytes += held_bytes(record)
                heappush(self._waiting, (due_ms, self._number, record))
            else:
                going.append(record)
        return going

    def pop_due(self, now_ms: int, limit: int) -> list[Record]:
        """Give held records that are due, the earliest first."""
        due: list[Record] = []
        while self._waiting and len(due) < limit and self._waiting[0][0] <= now_ms:
            record = heappop(self._waiting)[2]
            self._size_bytes -= held_bytes(record)
            due.append(record)
        return due

    def next_due_ms(self) -> int | None:
        """Broker time at which the first is due; None when nothing is held."""
        return self._waiting[0][0] if self._waiting else None

    def settle(self, records: Iterable[Record]) -> dict[TopicPartition, int]:
        """Note that what records led to is acknowledged; give how far their partitions are handed over."""
        places = set[TopicPartition]()
        for record in records:
            self._tracker(record).done(record.offset)
            places.add(TopicPartition(record.topic, record.partition))
        positions = {place: self._handled[place].position for place in places}
        return {place: position for place, position in positions.items() if position is not None}

    def _tracker(self, record: Record) -> OffsetTracker:
        place = TopicPartition(record.topic, record.partition)
        tracker = self._handled.get(place)
        if tracker is None:
            tracker = self._handled[place] = OffsetTracker()
        return tracker
