"""Keeps snapshots of ledger folds in the log, and finds the newest one again.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.ledger.fold import LedgerFold
from core.ledger.image import LedgerImage
from core.ledger.snapshot import BrokenSnapshotError, chunks_of, fold_from
from core.log import Record, TopicPartition
from ports.failpoints import Failpoint, reached
from ports.log import Appender, PartitionReader
from schemas.ledger import LedgerFolds
from schemas.snapshots import (
    SnapshotCatalog,
    SnapshotId,
    SnapshotManifest,
    chunk_record,
    id_of,
    manifest_of,
    manifest_record,
)
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

POLL_S = 0.5


class TornSnapshotError(Exception):
    """A snapshot just written could not be read back whole; the older ones stay as they are."""


@dataclass(slots=True)
class _Shelf:
    """What was read of one partition of the topic: its catalog, and how far that reaches."""

    catalog: SnapshotCatalog
    next_offset: int


@dataclass(slots=True)
class _Contents:
    """Chunks while they are read. What was removed is let go, so three or four snapshots at most are held."""

    catalog: SnapshotCatalog
    at_most: int
    chunks: dict[SnapshotId, dict[int, bytes]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        place = self.catalog.take(record)
        if place.chunk is None or place.snapshot.next_offset > self.at_most:
            return
        if record.value is None:
            self.chunks.get(place.snapshot, {}).pop(place.chunk, None)
        else:
            self.chunks.setdefault(place.snapshot, {})[place.chunk] = record.value

    def newest(self) -> tuple[SnapshotManifest, list[bytes]] | None:
        manifest = self.catalog.newest(self.at_most)
        if manifest is None:
            return None
        held = self.chunks[id_of(manifest)]
        return manifest, [held[number] for number in range(manifest.chunks)]


class SnapshotStore:
    """The snapshots of all partitions.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it. Calls wait for one another.
    instance
        Who writes; for people.
    """

    def __init__(
        self, routes: RouteMap, epoch: str, appender: Appender, reader: PartitionReader, instance: str
    ) -> None:
        self._routes = routes
        self._epoch = epoch
        self._appender = appender
        self._reader = reader
        self._instance = instance
        self._lock = asyncio.Lock()
        self._shelves: dict[int, _Shelf] = {}

    async def restore(self, folds: LedgerFolds, at_most: Mapping[int, int]) -> list[int]:
        """Give folds without a beginning the newest snapshot there is; give the partitions that got one.

        A partition of which anything was folded is left alone. Decoding runs in a thread.

        Parameters
        ----------
        at_most
            Partition to the ledger offset beyond which its fold must not be. The ledger's end for
            who only follows; for who acts on every verdict, how far that work is committed.
        """
        restored: list[int] = []
        for partition, offset in at_most.items():
            if offset == 0 or folds.next_offset(partition):
                continue
            fold = await self.load(partition, offset)
            if fold is not None and folds.adopt(partition, fold):
                restored.append(partition)
        return restored

    async def load(self, partition: int, at_most: int) -> LedgerFold | None:
        """Give the fold of the newest whole snapshot up to ``at_most``; None when there is none.

        Torn snapshots and those this code cannot use are passed over.
        """
        async with self._lock:
            topic = self._topic(partition)
            start = (await self._reader.start_offsets([topic]))[topic]
            contents = _Contents(SnapshotCatalog(self._epoch), at_most)
            end = await self._read(topic, start, contents.take)
            self._shelves[partition] = _Shelf(contents.catalog, end)
        found = contents.newest()
        if found is None:
            return None
        manifest, chunks = found
        try:
            fold = await asyncio.to_thread(fold_from, chunks)
        except BrokenSnapshotError:
            logger.exception("the snapshot of ledger partition %d is passed over", partition)
            return None
        logger.info(
            "restored ledger partition %d up to offset %d: %d jobs finished, %d open",
            partition,
            manifest.next_offset,
            fold.finished_jobs,
            len(fold.open),
        )
        return fold

    async def newest(self, partition: int) -> int:
        """Give the ledger offset up to which the newest whole snapshot reaches; 0 when there is none."""
        async with self._lock:
            manifest = (await self._catch_up(partition)).newest()
        return 0 if manifest is None else manifest.next_offset

    async def save(self, partition: int, image: LedgerImage) -> SnapshotManifest | None:
        """Write a snapshot, read it back, and only then remove older ones.

        None, having written nothing, when there is one as new already. Encoding runs in a thread;
        chunks are appended one at a time, so other appends of this process go in between.

        Raises
        ------
        TornSnapshotError
            It was not all there when read back; nothing was removed. Try again with a later image.
        """
        if await self.newest(partition) >= image.next_offset:
            return None
        chunks = await asyncio.to_thread(_listed, chunks_of(image))
        manifest = await asyncio.to_thread(manifest_of, partition, image, chunks, self._instance)
        reached(Failpoint.IMAGE_TAKEN)
        for number, chunk in enumerate(chunks):
            await self._appender.append([chunk_record(self._routes, manifest, number, chunk)])
            reached(Failpoint.CHUNK_APPENDED)
        await self._appender.append([manifest_record(self._routes, manifest)])
        reached(Failpoint.MANIFEST_APPENDED)
        async with self._lock:
            catalog = await self._catch_up(partition)
        if not catalog.is_whole(id_of(manifest)):
            raise TornSnapshotError(
                f"the snapshot of ledger partition {partition} up to {manifest.next_offset} is not whole"
            )
        superseded = catalog.superseded(self._routes, partition)
        reached(Failpoint.SNAPSHOT_READ_BACK)
        await self._appender.append(superseded)
        reached(Failpoint.TOMBSTONES_APPENDED, when=superseded)
        return manifest

    def _topic(self, partition: int) -> TopicPartition:
        return TopicPartition(self._routes.snapshots, partition)

    async def _catch_up(self, partition: int) -> SnapshotCatalog:
        topic, shelf = self._topic(partition), self._shelves.get(partition)
        if shelf is None:
            start = (await self._reader.start_offsets([topic]))[topic]
            shelf = _Shelf(SnapshotCatalog(self._epoch), start)
        catalog = shelf.catalog

        def take(record: Record) -> None:
            catalog.take(record)

        end = await self._read(topic, shelf.next_offset, take)
        self._shelves[partition] = _Shelf(catalog, end)
        return catalog

    async def _read(self, topic: TopicPartition, start: int, take: Callable[[Record], None]) -> int:
        """Read to the end the partition has when that is reached; give it.

        Records may be compacted away while they are read; what replaced them stands before that end.
        """
        position = start
        try:
            await self._reader.assign({topic: start})
            while position < (end := (await self._reader.end_offsets([topic]))[topic]):
                while position < end:
                    for record in await self._reader.poll(POLL_S):
                        take(record)
                    position = self._reader.position(topic)
        finally:
            await self._reader.assign({})
        return position


def _listed(chunks: Iterable[bytes]) -> list[bytes]:
    return list(chunks)
