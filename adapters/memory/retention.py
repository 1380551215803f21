"""A ``RetentionLog`` on the log in memory."""

from collections.abc import Collection, Mapping

from adapters.memory.broker import MemoryBroker
from core.log import Record, TopicPartition
from ports.retention import Bounds, RetentionUnavailableError


class MemoryRetention:
    """Trims a ``MemoryBroker``."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def committed(self, groups: Collection[str]) -> dict[str, dict[TopicPartition, int]]:
        """See ``ports.retention.RetentionLog.committed``."""
        self._check()
        return {
            name: dict(self._broker.groups[name].committed) for name in groups if name in self._broker.groups
        }

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """See ``ports.retention.RetentionLog.bounds``."""
        self._check()
        return {tp: Bounds(self._broker.start(tp), self._broker.end(tp)) for tp in partitions}

    async def offsets_at(
        self, partitions: Collection[TopicPartition], at_ms: int
    ) -> dict[TopicPartition, int]:
        """See ``ports.retention.RetentionLog.offsets_at``."""
        self._check()
        return {
            tp: next(
                (record.offset for record in self._records(tp) if record.timestamp_ms >= at_ms),
                self._broker.end(tp),
            )
            for tp in partitions
        }

    async def sizes(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """See ``ports.retention.RetentionLog.sizes``."""
        self._check()
        return {
            tp: sum(len(record.key or b"") + len(record.value or b"") for record in self._records(tp))
            for tp in partitions
        }

    async def trim(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """See ``ports.retention.RetentionLog.trim``."""
        self._check()
        for tp, offset in before.items():
            if offset > self._broker.end(tp):
                raise RetentionUnavailableError(f"{tp} ends before {offset}")
            self._broker.trim(tp, offset)
        return {tp: self._broker.start(tp) for tp in before}

    async def close(self) -> None:
        """Nothing to finish."""

    def _records(self, tp: TopicPartition) -> list[Record]:
        return [record for record in self._broker.records(tp.topic) if record.partition == tp.partition]

    def _check(self) -> None:
        if self._broker.faults.is_away:
            raise RetentionUnavailableError("the broker is away")
