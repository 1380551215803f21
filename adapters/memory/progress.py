"""How far a group of the log in memory has come."""

from collections.abc import Sequence

from adapters.memory.broker import MemoryBroker
from core.log import TopicPartition
from core.stealing import Progress
from ports.log import ProgressUnknownError


class MemoryGroupProgress:
    """A ``GroupProgress`` of a ``MemoryBroker``."""

    def __init__(self, broker: MemoryBroker, *, group: str) -> None:
        self._broker = broker
        self._group = broker.group(group)

    async def look(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Progress]:
        """See ``ports.log.GroupProgress.look``."""
        if self._broker.faults.is_away:
            raise ProgressUnknownError("the broker is away")
        committed = self._group.committed
        return {
            tp: Progress(committed.get(tp, self._broker.start(tp)), self._broker.end(tp)) for tp in partitions
        }

    async def close(self) -> None:
        """See ``ports.log.GroupProgress.close``."""
