"""Counts what is held, for whoever has to know and hands nothing on."""

import asyncio

from core.held import HeldFold
from core.log import TopicPartition
from ports.held_marks import HeldMarkLog
from ports.log import OffsetOutOfRangeError, PartitionReader
from schemas.held import fold_held
from schemas.topics import RouteMap

POLL_S = 0.5
WITHIN_S = 10.0
"""Longest time a count may take; the first one reads what was held since the newest marks, headers alone."""


class HeldCounts:
    """Folds ``jobs.held`` when it is asked, from where it was when it was last asked.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, routes: RouteMap, marks: HeldMarkLog, reader: PartitionReader) -> None:
        self._places = [TopicPartition(routes.held, number) for number in range(routes.partitions)]
        self._marks = marks
        self._reader = reader
        self._folds: dict[int, HeldFold] = {}

    async def of(self, held_for: str) -> int | None:
        """Give how many jobs are held for this now; None when that could not be read in time."""
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._read()
        except TimeoutError:
            return None
        except OffsetOutOfRangeError:
            # It was trimmed beyond what was folded: the marks are further on.
            self._folds.clear()
            return None
        return sum(fold.counts().get(held_for, 0) for fold in self._folds.values())

    async def _read(self) -> None:
        for place in self._places:
            if place.partition not in self._folds:
                self._folds[place.partition] = await self._marks.restored(place.partition)
        ends = await self._reader.end_offsets(self._places)
        await self._reader.assign({place: self._folds[place.partition].next_offset for place in self._places})
        try:
            while any(self._folds[place.partition].next_offset < end for place, end in ends.items()):
                for record in await self._reader.poll(POLL_S):
                    fold_held(self._folds[record.partition], record)
        finally:
            # Nothing is fetched between two counts.
            await self._reader.assign({})
