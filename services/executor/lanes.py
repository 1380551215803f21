"""Reads execution lanes of partitions that others own, for a ``Fetcher``; commits nothing."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from core.log import TopicPartition
from ports.log import Assignment, Batch, OffsetOutOfRangeError, PartitionReader

logger = logging.getLogger(__name__)


class ForeignLanes:
    """What a ``Fetcher`` needs of a group member, without a group: its assignment is what it is told.

    Never commits: how far a partition is handled is for its owner to say, who sees the same claims.
    """

    def __init__(self, reader: PartitionReader) -> None:
        self._reader = reader
        self._assignment = Assignment(0, frozenset())
        self._given = asyncio.Event()
        """Set while there is anything to read."""

    @property
    def assignment(self) -> Assignment:
        """See ``ports.log.GroupMember.assignment``."""
        return self._assignment

    async def begin(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these lanes from now on, all of them from the offsets given."""
        numbers = frozenset(lane.partition for lane in positions)
        self._assignment = Assignment(self._assignment.number + 1, numbers)
        # A lane that is kept would go on where it stands, behind what the fetcher now forgets.
        await self._reader.assign({})
        await self._reader.assign(positions)
        if positions:
            self._given.set()
        else:
            self._given.clear()

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        """See ``ports.log.GroupMember.poll``.

        Lanes trimmed below where they were to be read are let go, all of them: their owners are
        further, and the next look says how far.
        """
        if not self._given.is_set():
            await _until(self._given, timeout_s)
            return Batch(self._assignment.number, [])
        before = self._assignment.number
        try:
            records = await self._reader.poll(timeout_s, max_records)
        except OffsetOutOfRangeError as error:
            logger.info("stealing starts over: %s", error)
            await self.begin({})
            return Batch(self._assignment.number, [])
        if self._assignment.number != before:
            records = []
        return Batch(self._assignment.number, records)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.GroupMember.pause``."""
        self._reader.pause(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.GroupMember.resume``."""
        self._reader.resume(partitions)

    async def commit(self, _assignment: int, _positions: Mapping[TopicPartition, int]) -> bool:
        """Commit nothing; True, so that it is not tried again."""
        return True


async def _until(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
