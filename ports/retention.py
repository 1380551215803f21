"""What the janitor asks of a log: who has read how far, what there is, and to let the oldest go.

Implemented by ``adapters.kafka`` and, for tests, by ``adapters.memory``; one contract suite runs on both.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from core.log import TopicPartition


class Bounds(NamedTuple):
    """The offset of the oldest record of a partition, and the one after its newest."""

    start: int
    end: int


class RetentionUnavailableError(Exception):
    """The log does not answer now, or refuses; the caller tries again later. The message says why."""


class RetentionLog(Protocol):
    """The administrator's view of a log."""

    async def committed(self, groups: Collection[str]) -> dict[str, dict[TopicPartition, int]]:
        """Give what each group has committed; nothing for a group or partition that never was."""
        ...

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Give start and end of partitions that exist, as of now."""
        ...

    async def offsets_at(
        self, partitions: Collection[TopicPartition], at_ms: int
    ) -> dict[TopicPartition, int]:
        """Give the first offset whose record was appended at or after a time; the end when none was."""
        ...

    async def sizes(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Give the bytes on disk of each partition, of the largest replica."""
        ...

    async def trim(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Delete the records below these offsets; give the offsets the partitions begin at now.

        Never moves a start back. The disk follows when whole segments are below.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...
