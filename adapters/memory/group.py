"""A ``GroupMember`` on the log in memory."""

from collections.abc import Callable, Mapping, Sequence

from adapters.memory.broker import MemoryBroker
from adapters.memory.polling import poll_until, read_some
from core.log import Record, TopicPartition
from ports.log import Assignment, Batch, next_assignment

StartAt = Callable[[TopicPartition, int], int]


class MemoryGroupMember:
    """A member of a group of a ``MemoryBroker``; sees a rebalance at its next ``poll``.

    A second member under the same ``instance`` takes the place of the first, as with static
    membership: the first owns nothing from its next ``poll`` on.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        group: str,
        instance: str,
        topics: Sequence[str],
        start_at: StartAt | None = None,
    ) -> None:
        self._broker = broker
        self._group = broker.group(group)
        self._instance = instance
        self._topics = tuple(topics)
        self._start_at = start_at
        self._join = 0
        self._generation = 0
        self._assignment = Assignment(0, frozenset())
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def start(self) -> None:
        """Join the group; the first ``poll`` brings the first assignment."""
        partitions = frozenset(tp for topic in self._topics for tp in self._broker.partitions_of(topic))
        self._join = self._group.join(self._instance, partitions)
        self._broker.notify()

    @property
    def assignment(self) -> Assignment:
        """See ``ports.log.GroupMember.assignment``."""
        return self._assignment

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        """See ``ports.log.GroupMember.poll``."""
        records = await poll_until(self._broker, lambda: self._look(max_records), timeout_s)
        return Batch(self._assignment.number, records)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.GroupMember.pause``."""
        self._paused |= set(partitions) & self._positions.keys()

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.GroupMember.resume``."""
        self._paused -= set(partitions)
        self._broker.notify()

    def committed(self, partition: TopicPartition) -> int:
        """See ``ports.log.GroupMember.committed``."""
        if partition not in self._positions:
            raise KeyError(partition)
        return self._group.committed.get(partition, self._broker.start(partition))

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        """See ``ports.log.GroupMember.commit``."""
        if assignment != self._assignment.number or not self._is_current():
            return False
        forward = {
            tp: offset
            for tp, offset in positions.items()
            if tp in self._positions and offset > self.committed(tp)
        }
        if forward and (self._broker.faults.is_away or self._broker.faults.take_refused_commit()):
            return False
        for tp, offset in forward.items():
            self._group.commit(tp, offset)
        return True

    async def close(self) -> None:
        """See ``ports.log.GroupMember.close``."""
        self._group.leave(self._instance, self._join)
        self._broker.notify()

    def _is_current(self) -> bool:
        return self._generation == self._group.generation and self._group.has(self._instance, self._join)

    def _look(self, limit: int) -> list[Record]:
        if self._broker.faults.is_away:
            return []
        if self._generation != self._group.generation:
            self._take_assignment()
        wanted = [tp for tp in self._positions if tp not in self._paused]
        return read_some(self._broker, self._positions, wanted, limit)

    def _take_assignment(self) -> None:
        self._generation = self._group.generation
        is_member = self._group.has(self._instance, self._join)
        owned = sorted(self._group.share(self._instance)) if is_member else []
        kept = self._positions.keys() & set(owned) if self._start_at is None else set[TopicPartition]()
        self._paused &= kept
        self._positions = {tp: self._first_position(tp) for tp in owned}
        numbers = frozenset(tp.partition for tp in owned)
        self._assignment = next_assignment(self._assignment, numbers, frozenset(tp.partition for tp in kept))

    def _first_position(self, partition: TopicPartition) -> int:
        start = self._broker.start(partition)
        committed = self._group.committed.get(partition, start)
        if self._start_at is None:
            return max(committed, self._positions.get(partition, 0))
        return max(start, self._start_at(partition, committed))
