"""Read stretches of ``jobs.held`` again, a bounded part at a time."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from core.log import Record, TopicPartition
from ports.log import PartitionReader
from schemas.held import held_for_of

PART_RECORDS = 1000
"""Jobs read ahead for one subject of one partition; one append hands at most so many on."""
PART_BYTES = 4_194_304
"""Likewise in bytes, give or take one poll."""
TOTAL_BYTES = 67_108_864
"""Nothing more is read while so much waits to be handed on."""
POLL_RECORDS = 1000


@dataclass(slots=True)
class Part:
    """Jobs held for one subject, read again from ``start`` up to ``until``."""

    start: int
    last: int
    """Reading stops when it has come by here."""
    until: int
    """Everything held for the subject from ``start`` to here, not included, is in ``records``."""
    records: deque[Record] = field(default_factory=deque)
    size_bytes: int = 0

    def add(self, record: Record) -> None:
        """Take one more in."""
        self.records.append(record)
        self.size_bytes += len(record.value or b"")

    @property
    def is_read(self) -> bool:
        """Whether there is enough of it."""
        full = len(self.records) >= PART_RECORDS or self.size_bytes >= PART_BYTES
        return full or self.until > self.last


Place = tuple[int, str]
"""Partition and what the jobs are held for."""


class Rereads:
    """Parts that are wanted, being read, or read and not handed on.

    Of a partition one part is read at a time; the part that follows one for the same subject is read on
    from where that ended.
    """

    def __init__(self, reader: PartitionReader, topic: str) -> None:
        self._reader = reader
        self._topic = topic
        self._reading: dict[int, tuple[str, Part]] = {}
        self._parts: dict[Place, Part] = {}
        self._assigned: set[int] = set()

    def part(self, place: Place) -> Part | None:
        """Give the part that was read, until it is ``done``."""
        return self._parts.get(place)

    def want(self, place: Place, first: int, last: int) -> None:
        """Have the jobs from ``first`` on read, unless another part of the partition is being read."""
        partition, held_for = place
        if partition in self._reading or place in self._parts or self._size_bytes >= TOTAL_BYTES:
            return
        self._reading[partition] = (held_for, Part(first, last, first))

    def done(self, place: Place) -> None:
        """Forget a part."""
        self._parts.pop(place, None)

    def keep(self, places: Collection[Place]) -> None:
        """Forget all others: what they are held for holds again, or they moved away."""
        self._parts = {place: part for place, part in self._parts.items() if place in places}
        self._reading = {
            number: reading for number, reading in self._reading.items() if (number, reading[0]) in places
        }

    @property
    def is_reading(self) -> bool:
        """Whether ``read`` has anything to do."""
        return bool(self._reading)

    @property
    def _size_bytes(self) -> int:
        return sum(part.size_bytes for part in self._parts.values())

    async def read(self, timeout_s: float) -> None:
        """Read on for at most that long, when nothing comes.

        Raises
        ------
        ports.log.OffsetOutOfRangeError
            It was trimmed: somebody else has handed it on.
        """
        if not self._reading:
            return
        await self._stand()
        for record in await self._reader.poll(timeout_s, POLL_RECORDS):
            reading = self._reading.get(record.partition)
            if reading is None:
                continue
            held_for, part = reading
            # Those behind `last` too, as far as is read: whatever stands below `until` counts as handed on.
            part.until = record.offset + 1
            if held_for_of(record) == held_for:
                part.add(record)
        for partition, (held_for, part) in list(self._reading.items()):
            if part.is_read:
                del self._reading[partition]
                self._parts[partition, held_for] = part

    async def _stand(self) -> None:
        """Have the reader stand where the parts go on; a partition that is there already stays there."""
        there = {self._tp(number) for number in self._reading if self._stands(number)}
        wanted = {self._tp(number): part.until for number, (_, part) in self._reading.items()}
        if there == wanted.keys() and self._assigned == self._reading.keys():
            return
        await self._reader.assign({place: wanted[place] for place in there})
        await self._reader.assign(wanted)
        self._assigned = set(self._reading)

    def _stands(self, partition: int) -> bool:
        _, part = self._reading[partition]
        return partition in self._assigned and self._reader.position(self._tp(partition)) == part.until

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
