"""Reads execution lanes of partitions that others own, for a ``Fetcher``; commits nothing."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from core.log import TopicPartition
from ports.log import Assignment, Batch, OffsetOutOfRangeError, PartitionReader

logger = logging.getLogger(__name__)

NOTICE_S = 0.1
"""Longest wait for records while there are lanes to read: how soon other lanes are begun."""


class ForeignLanes:
    """What a ``Fetcher`` needs of a group member, without a group: its assignment is what it is told.

    Never commits: how far a partition is handled is for its owner to say, who sees the same claims.
    """

    def __init__(self, reader: PartitionReader) -> None:
        self._reader = reader
        self._assignment = Assignment(0, frozenset())
        self._positions: dict[TopicPartition, int] = {}
        self._is_news = asyncio.Event()
        """Set while ``begin`` was called and ``poll`` has not noticed."""

    @property
    def assignment(self) -> Assignment:
        """See ``ports.log.GroupMember.assignment``; as ``poll`` last had it."""
        return self._assignment

    @property
    def partitions(self) -> frozenset[int]:
        """What was last asked for."""
        return frozenset(lane.partition for lane in self._positions)

    def begin(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these lanes from now on, all of them from the offsets given."""
        self._positions = dict(positions)
        self._is_news.set()

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        """See ``ports.log.GroupMember.poll``.

        Lanes trimmed below where they were to be read are let go, all of them: their owners are
        further, and the next look says how far.
        """
        if self._is_news.is_set():
            return await self._begin_again()
        if not self._positions:
            await _until(self._is_news, timeout_s)
            return Batch(self._assignment.number, [])
        try:
            records = await self._reader.poll(min(timeout_s, NOTICE_S), max_records)
        except OffsetOutOfRangeError as error:
            logger.info("stealing starts over: %s", error)
            self.begin({})
            records = []
        return Batch(self._assignment.number, records)

    async def _begin_again(self) -> Batch:
        """Start an assignment; here alone the reader is told, so no record falls between two of them."""
        self._is_news.clear()
        positions = self._positions
        # A lane that is kept would go on where it stands, behind what the fetcher now forgets.
        await self._reader.assign({})
        await self._reader.assign(positions)
        numbers = frozenset(lane.partition for lane in positions)
        self._assignment = Assignment(self._assignment.number + 1, numbers)
        return Batch(self._assignment.number, [])

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
