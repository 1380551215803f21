"""Keeps how far ``jobs.held`` is handed on in the log, and gives it to folds again."""

import asyncio
import logging

from core.held import HeldFold
from core.log import TopicPartition, size_bytes
from ports.failpoints import Failpoint, reached
from ports.last_record import last_record
from ports.log import Appender, PartitionReader
from schemas.held import HeldMarks, marks_of, marks_record
from schemas.topics import APPEND_MAX_BYTES, RouteMap

logger = logging.getLogger(__name__)


class HeldMarkLog:
    """The topic ``held.marks`` of all partitions.

    Of two schedulers that both write, the older marks may come last: they are as true, and only make the
    next one read more of ``jobs.held``.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it. Calls wait for one another.
    """

    def __init__(self, routes: RouteMap, epoch: str, reader: PartitionReader) -> None:
        self._routes = routes
        self._epoch = epoch
        self._reader = reader
        self._lock = asyncio.Lock()

    async def newest(self, partition: int) -> HeldMarks | None:
        """Give the newest marks; None when there are none of this epoch."""
        place = TopicPartition(self._routes.held_marks, partition)
        async with self._lock:
            last = await last_record(self._reader, place)
        if last is None:
            return None
        marks = marks_of(last)
        return marks if marks.epoch == self._epoch else None

    async def restored(self, partition: int) -> HeldFold:
        """Give the fold of a partition as of its newest marks; reading goes on from its ``next_offset``."""
        place = TopicPartition(self._routes.held, partition)
        marks = await self.newest(partition)
        start = (await self._reader.start_offsets([place]))[place]
        if marks is None:
            return HeldFold.restored({}, 0, start)
        return HeldFold.restored(marks.stretches, marks.next_offset, start)

    async def tell(self, appender: Appender, partition: int, fold: HeldFold) -> None:
        """Write the marks of a fold; without them more is kept, and read at the next start."""
        record = marks_record(self._routes, partition, self._epoch, fold)
        if size_bytes(record) > APPEND_MAX_BYTES:
            logger.warning("no marks of jobs.held: %d subjects are held there", len(fold.subjects))
            return
        reached(Failpoint.HELD_MARKS_DUE)
        await appender.append([record])
        reached(Failpoint.HELD_MARKS_APPENDED)
