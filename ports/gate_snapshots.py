"""Keeps snapshots of the gates in the log, and finds the newest ones again.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

from core.log import TopicPartition
from ports.log import Appender, PartitionReader
from ports.snapshot_shelf import SnapshotShelf
from schemas.gate_logs import Folds, GateLogs, Image
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)


class GateSnapshots:
    """The snapshots of the gates in the log.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(
        self, routes: RouteMap, epoch: str, logs: GateLogs, reader: PartitionReader, instance: str
    ) -> None:
        self._routes = routes
        self._epoch = epoch
        self._logs = logs
        self._reader = reader
        self._instance = instance
        self._lock = asyncio.Lock()
        self._shelves: dict[int, SnapshotShelf[Folds]] = {}

    async def restore(self, committed: Mapping[TopicPartition, int]) -> None:
        """Let partitions that are unknown, or known less far than others came, begin at the newest snapshot.

        Without one, an unknown partition begins where its logs begin.

        No snapshot reaches beyond what is committed, so what follows it is still to be acted on.

        Raises
        ------
        core.gates.id_gate.GateGapError
            There is none, and a gate's log does not begin at its beginning any more.
        """
        wanted = [
            partition
            for partition in sorted({place.partition for place in committed})
            if not self._logs.has(partition) or self._logs.is_behind(partition, committed)
        ]
        # Asked for all at once: a member that joins waits for this.
        for partition in await self._with_records(wanted):
            await self._adopt(partition)
        unknown = [partition for partition in wanted if not self._logs.has(partition)]
        places = [place for partition in unknown for place in self._logs.places(partition).values()]
        async with self._lock:
            starts = await self._reader.start_offsets(places) if places else {}
        for partition in unknown:
            self._logs.begin_at(partition, starts)

    async def _with_records(self, partitions: list[int]) -> list[int]:
        """Give the partitions whose topic of snapshots holds anything."""
        places = [TopicPartition(self._routes.gate_snapshots, partition) for partition in partitions]
        if not places:
            return []
        async with self._lock:
            starts = await self._reader.start_offsets(places)
            ends = await self._reader.end_offsets(places)
        return [place.partition for place in places if ends[place] > starts[place]]

    async def _adopt(self, partition: int) -> None:
        folds = await self.load(partition)
        if folds is not None:
            self._logs.adopt(partition, folds)
            positions = {name: fold.next_offset for name, fold in folds.by_name().items()}
            logger.info("restored the gates of partition %d up to %s", partition, positions)

    async def load(self, partition: int) -> Folds | None:
        """Give the folds of the newest whole snapshot of a partition number; None when there is none."""
        shelf = self._shelf(partition)
        async with self._lock:
            return await shelf.choose(partition, lambda catalog: catalog.whole()[::-1])

    async def save(self, appender: Appender, image: Image) -> bool:
        """Write a snapshot; False when there is one as new already.

        Raises
        ------
        TornSnapshotError
            It could not be read back; the older ones stay.
        """
        shelf = self._shelf(image.partition)
        async with self._lock:
            if await shelf.newest(image.partition) >= sum(image.positions().values()):
                return False
            manifest, chunks = await asyncio.to_thread(image.encoded, self._epoch, self._instance)
            await shelf.put(appender, manifest, chunks, _nothing_trimmed, step_ms=0)
        return True

    async def keep_from(self, partition: int) -> dict[TopicPartition, int]:
        """Give the oldest record of each log that whoever begins at a kept snapshot may have to read.

        0 for a log that no kept snapshot is of: everything of it is needed.
        """
        async with self._lock:
            kept = await self._shelf(partition).whole(partition)
        return {
            place: min((one.manifest.keep_from.get(name, 0) for one in kept), default=0)
            for name, place in self._logs.places(partition).items()
        }

    def _shelf(self, partition: int) -> SnapshotShelf[Folds]:
        shelf = self._shelves.get(partition)
        if shelf is None:
            topic, decode = self._routes.gate_snapshots, partial(self._logs.decode, partition)
            shelf = SnapshotShelf(topic, self._epoch, self._reader, decode, self._logs.can_use)
            self._shelves[partition] = shelf
        return shelf


async def _nothing_trimmed(_partition: int) -> int:
    return 0
