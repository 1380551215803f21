"""A ``PartitionReader`` on the log in memory."""

from collections.abc import Mapping, Sequence

from adapters.memory.broker import MemoryBroker
from adapters.memory.polling import poll_until, read_some
from core.log import Record, TopicPartition


class MemoryReader:
    """Reads a ``MemoryBroker``."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See ``ports.log.PartitionReader.assign``."""
        self._positions = {tp: self._positions.get(tp, offset) for tp, offset in positions.items()}
        self._paused.clear()
        self._broker.notify()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.PartitionReader.pause``."""
        self._paused |= set(partitions) & self._positions.keys()

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.PartitionReader.resume``."""
        self._paused -= set(partitions)
        self._broker.notify()

    def gather(self, seconds: float) -> None:
        """See ``ports.log.GatheringReader.gather``; what is in memory costs nothing to look at."""

    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        """See ``ports.log.PartitionReader.poll``."""
        return await poll_until(self._broker, lambda: self._look(max_records), timeout_s)

    def position(self, partition: TopicPartition) -> int:
        """See ``ports.log.PartitionReader.position``."""
        return self._positions[partition]

    def known_end(self, partition: TopicPartition) -> int:
        """See ``ports.log.PartitionReader.known_end``; as of the last poll, never fresher."""
        return max(self._ends.get(partition, 0), self._positions[partition])

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See ``ports.log.PartitionReader.end_offsets``."""
        return {tp: self._broker.end(tp) for tp in partitions}

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See ``ports.log.PartitionReader.start_offsets``."""
        return {tp: self._broker.start(tp) for tp in partitions}

    async def close(self) -> None:
        """See ``ports.log.PartitionReader.close``."""
        self._positions = {}

    def _look(self, limit: int) -> list[Record]:
        wanted = [tp for tp in self._positions if tp not in self._paused]
        records = read_some(self._broker, self._positions, wanted, limit)
        if not self._broker.faults.is_away:
            self._ends = {tp: self._broker.end(tp) for tp in self._positions}
        return records
