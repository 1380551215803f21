"""Hold the heads of the wheel's tiers in memory until they leave."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from core.log import Record, TopicPartition
from core.wheel import leaves_at_ms

HORIZON_MS = 2000
"""A tier-partition whose buffer reaches this far ahead is not read further; reading goes on when half
of it is left, because a resumed partition may wait for the running long poll (500 ms) first."""
SMALL_RECORDS = 256
"""Buffers of fewer records are always read on, so a quiet wheel never pauses."""
BUFFER_MAX_BYTES = 8_388_608
"""Most bytes of keys and values held for one tier-partition, give or take one poll; about 8,000
records of 1 KB leaving within the horizon, more than one process hands over in that time."""


@dataclass(slots=True)
class _Buffer:
    tier: int
    waiting: deque[Record] = field(default_factory=deque)
    size_bytes: int = 0
    paused: bool = False

    def add(self, record: Record) -> None:
        self.waiting.append(record)
        self.size_bytes += held_bytes(record)

    def pop(self) -> Record:
        record = self.waiting.popleft()
        self.size_bytes -= held_bytes(record)
        return record

    def leave_ms(self) -> int:
        return leaves_at_ms(self.tier, self.waiting[0].timestamp_ms)

    def wants_more(self, now_ms: int) -> bool:
        share = 2 if self.paused else 1
        if self.size_bytes >= BUFFER_MAX_BYTES // share:
            return False
        if len(self.waiting) < SMALL_RECORDS:
            return True
        return leaves_at_ms(self.tier, self.waiting[-1].timestamp_ms) - now_ms < HORIZON_MS // share


class Heads:
    """The oldest records of every tier-partition, in order; only the first of each is looked at.

    One tier never blocks another. Memory is bounded whatever waits in the wheel: see the constants.
    """

    def __init__(self, tier_of: Mapping[str, int]) -> None:
        self._tier_of = tier_of
        self._buffers: dict[TopicPartition, _Buffer] = {}

    def __len__(self) -> int:
        return sum(len(buffer.waiting) for buffer in self._buffers.values())

    def clear(self) -> None:
        """Forget everything: after a rebalance each partition is read again from its position."""
        self._buffers.clear()

    def take(self, records: Iterable[Record]) -> None:
        """Add records of wheel topics, in offset order within each partition."""
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            buffer = self._buffers.get(place)
            if buffer is None:
                buffer = self._buffers[place] = _Buffer(self._tier_of[record.topic])
            buffer.add(record)

    def pop_due(self, now_ms: int, limit: int) -> list[Record]:
        """Give records whose time in their tier is over, in order within each partition.

        When the limit leaves some behind, the partition longest overdue goes first, so that none starves.
        """
        due: list[Record] = []
        held = (buffer for buffer in self._buffers.values() if buffer.waiting)
        for buffer in sorted(held, key=_Buffer.leave_ms):
            while buffer.waiting and len(due) < limit and buffer.leave_ms() <= now_ms:
                due.append(buffer.pop())
        return due

    def next_leave_ms(self) -> int | None:
        """Broker time at which the earliest head leaves; None when nothing is held."""
        held = (buffer for buffer in self._buffers.values() if buffer.waiting)
        return min(map(_Buffer.leave_ms, held), default=None)

    def to_pause(self, now_ms: int) -> Collection[TopicPartition]:
        """Give the partitions that hold enough now, each once until it is to be resumed."""
        return self._switch(now_ms, paused=False)

    def to_resume(self, now_ms: int) -> Collection[TopicPartition]:
        """Give the paused partitions that want more now."""
        return self._switch(now_ms, paused=True)

    def _switch(self, now_ms: int, *, paused: bool) -> list[TopicPartition]:
        switched: list[TopicPartition] = []
        for place, buffer in self._buffers.items():
            if buffer.paused is paused and buffer.wants_more(now_ms) is paused:
                buffer.paused = not paused
                switched.append(place)
        return switched


def held_bytes(record: Record) -> int:
    """Give what a record held in memory counts for."""
    return len(record.value or b"") + len(record.key or b"")
