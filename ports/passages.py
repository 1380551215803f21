"""Keeps who passed the id gates in the log, and teaches it to folds again.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio

from core.gates.id_gate import IdGate
from core.log import TopicPartition
from ports.failpoints import Failpoint, reached
from ports.last_record import last_record
from ports.log import Appender, PartitionReader
from schemas.passages import Stretch, stretch_of, stretch_record, stretches
from schemas.topics import RouteMap

POLL_S = 0.5


class PassageLog:
    """The topic ``gates.known`` of all partitions.

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
        self._positions: dict[int, int] = {}

    async def teach(self, partition: int, gate: IdGate) -> None:
        """Bring a gate as far as the log of passages goes; holds up the loop for one record at a time.

        Raises
        ------
        core.gates.id_gate.GateGapError, schemas.codec.UnreadableRecordError
            The topic is damaged; a person must mend it.
        """
        place = TopicPartition(self._routes.known, partition)
        async with self._lock:
            position = self._positions.get(partition)
            if position is None:
                position = (await self._reader.start_offsets([place]))[place]
            end = (await self._reader.end_offsets([place]))[place]
            try:
                await self._reader.assign({place: position})
                while self._reader.position(place) < end:
                    for record in await self._reader.poll(POLL_S):
                        self._learn(gate, stretch_of(record))
                        await asyncio.sleep(0)
                self._positions[partition] = self._reader.position(place)
            finally:
                await self._reader.assign({})

    def _learn(self, gate: IdGate, stretch: Stretch) -> None:
        if stretch.epoch == self._epoch:
            gate.learn(stretch.start, stretch.end, stretch.passages)

    async def told(self, partition: int) -> int:
        """Give an offset of ``jobs.gates`` below which every passage stands here; 0 when none does."""
        place = TopicPartition(self._routes.known, partition)
        async with self._lock:
            last = await last_record(self._reader, place)
        if last is None:
            return 0
        stretch = stretch_of(last)
        return stretch.end if stretch.epoch == self._epoch else 0

    async def tell(self, appender: Appender, partition: int, gate: IdGate, until: int) -> int:
        """Write down who passed since ``gate.told`` and below ``until``; give how many.

        Parameters
        ----------
        until
            At most ``gate.next_offset``.
        """
        passages = gate.untold(until)
        for stretch in stretches(self._epoch, gate.told, until, passages):
            reached(Failpoint.PASSAGES_DUE)
            await appender.append([stretch_record(self._routes, partition, stretch)])
            reached(Failpoint.PASSAGES_APPENDED)
            gate.tell(stretch.end)
        return len(passages)
