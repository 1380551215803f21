"""What services ask of a log: append batches, read partitions, share partitions within a group.

Implemented by ``adapters.kafka`` and, for tests, by ``adapters.memory``; one contract suite runs on both.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from core.log import Appended, NewRecord, Record, TopicPartition
from core.stealing import Progress


class Appender(Protocol):
    """Appends records durably."""

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        """Append all and return their places, in the order given.

        Returns only when every record is acknowledged by all in-sync replicas. Records for one
        partition keep their order. Promises no atomicity: when it raises or is cancelled, any
        subset may be in the log; the caller repeats the whole batch.

        Raises
        ------
        RecordTooLargeError
            One record can never be appended; the caller closes it with a reason.
        """
        ...


class RecordTooLargeError(Exception):
    """A record is larger than the broker takes; repeating is useless."""

    def __init__(self, index: int, size_bytes: int) -> None:
        super().__init__(f"record {index} of the batch has {size_bytes} bytes, more than the topic takes")
        self.index = index
        self.size_bytes = size_bytes


class OffsetOutOfRangeError(Exception):
    """The next record to read is gone: the reader stops with this remedy and never skips ahead."""


class PartitionReader(Protocol):
    """Reads chosen partitions from chosen offsets; belongs to no group and commits nothing."""

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions from now on.

        A partition already being read keeps its position; a new one starts at the given offset.
        Pauses end.
        """
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop giving records of these partitions until ``resume``; unknown ones are ignored."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Give records of these partitions again; unknown ones are ignored."""
        ...

    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        """Give the next records, in offset order within each partition; empty after the timeout."""
        ...

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record ``poll`` will give for this partition."""
        ...

    def known_end(self, partition: TopicPartition) -> int:
        """End offset as of the newest fetch answer, at least the last one polled; no round trip."""
        ...

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Ask the broker for the offsets after the last records."""
        ...

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Ask the broker for the offsets of the oldest records."""
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class GatheringReader(PartitionReader, Protocol):
    """A reader that can be told how soon records must come."""

    def gather(self, seconds: float) -> None:
        """Let records that come within so long of the last ones wait for each other: cheaper, and later.

        0, as in the beginning: each is read as soon as it can be.
        """
        ...


class ProgressUnknownError(Exception):
    """The broker did not say how far a group has come; harmless, ask again later."""


class GroupProgress(Protocol):
    """Tells how far a consumer group has come, all members together, to whoever asks."""

    async def look(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Progress]:
        """Give the committed offset (the log's start when there is none) and the end of each partition.

        Both are as of this call, the committed offsets a little older than the ends.

        Raises
        ------
        ProgressUnknownError
            The broker does not answer now.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class Assignment(NamedTuple):
    """The partition numbers a member owns, and which assignment this is.

    All topics of a group are shared out by partition number: who owns 3 owns it in every topic.
    """

    number: int
    """Rises with every rebalance; work of an older assignment must not be committed."""
    partitions: frozenset[int]
    held_since: Mapping[int, int] = MappingProxyType({})
    """The partitions that are read on where they were, and since which assignment; others start over."""

    def kept_since(self, number: int) -> frozenset[int]:
        """Give the partitions that are owned, and were read on, through every rebalance since ``number``."""
        return frozenset(partition for partition, since in self.held_since.items() if since <= number)


def next_assignment(before: Assignment, owned: frozenset[int], kept: frozenset[int]) -> Assignment:
    """Give the assignment that follows ``before``; of what is owned now, ``kept`` is read on where it was."""
    number = before.number + 1
    since = {p: before.held_since.get(p, before.number) if p in kept else number for p in owned}
    return Assignment(number, owned, since)


class Batch(NamedTuple):
    """Records polled under one assignment."""

    assignment: int
    records: list[Record]


class GroupMember(Protocol):
    """One member of a consumer group that shares out partition numbers."""

    @property
    def assignment(self) -> Assignment:
        """The current assignment; ``number`` 0 means none yet."""
        ...

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        """Give the next records of owned partitions that are not paused; may be empty.

        After a rebalance a partition that was owned before goes on where it was, as
        ``Assignment.kept_since`` tells, and stays paused if it was. One that was not goes on from its
        committed offset. With ``start_at`` (for members that keep positions themselves) all go on from
        where that says, and none is paused.
        """
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop giving records of these partitions until ``resume``; unknown ones are ignored."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Give records of these partitions again; unknown ones are ignored."""
        ...

    def committed(self, partition: TopicPartition) -> int:
        """Give the committed offset of an owned partition (the log's start when there is none)."""
        ...

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        """Commit next offsets, stamped with the assignment they were worked under.

        Returns False, committing nothing, when the assignment has changed since: the records
        will be read again by their new owner, or can be committed under the new one by who kept
        the partition. Never moves a committed offset back.
        """
        ...

    async def close(self) -> None:
        """Leave: the partitions move to others at once.

        A member that ends without this keeps its partitions for its instance name until the session
        timeout (static membership, KIP-345), so that a restart moves nothing.
        """
        ...
