"""Keeps snapshots of one kind in a compacted topic, and finds the newest one again.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.ledger.snapshot import BrokenSnapshotError, chunk_digest
from core.log import Record, TopicPartition
from ports.failpoints import Failpoint, reached
from ports.log import Appender, PartitionReader
from schemas.snapshots import (
    KeptSnapshot,
    SnapshotCatalog,
    SnapshotId,
    SnapshotManifest,
    chunk_record,
    id_of,
    manifest_record,
)

logger = logging.getLogger(__name__)

POLL_S = 0.5

T = TypeVar("T")
Choose = Callable[[SnapshotCatalog], list[KeptSnapshot]]
"""Gives snapshots in the order in which they are to be tried."""


class TornSnapshotError(Exception):
    """A snapshot just written could not be read back whole; the older ones stay as they are."""


@dataclass(slots=True)
class _Shelf:
    """What was read of one partition of the topic: its catalog, and how far that reaches."""

    catalog: SnapshotCatalog
    next_offset: int


class SnapshotShelf(Generic[T]):
    """The snapshots in one topic, of all partitions.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it. Calls wait for one another.
    decode
        Makes what a snapshot is of from its chunks, in a thread; raises ``BrokenSnapshotError``.
    can_use
        Whether this code can go on from such a snapshot.
    """

    def __init__(
        self,
        topic: str,
        epoch: str,
        reader: PartitionReader,
        decode: Callable[[list[bytes]], T],
        can_use: Callable[[SnapshotManifest], bool],
    ) -> None:
        self._topic_name = topic
        self._epoch = epoch
        self._reader = reader
        self._decode = decode
        self._can_use = can_use
        self._lock = asyncio.Lock()
        self._shelves: dict[int, _Shelf] = {}

    async def whole(self, partition: int) -> list[KeptSnapshot]:
        """Give all whole snapshots of a partition, oldest first."""
        async with self._lock:
            return (await self._catch_up(partition)).whole()

    async def newest(self, partition: int) -> int:
        """Give the offset up to which the newest whole snapshot reaches; 0 when there is none."""
        whole = await self.whole(partition)
        return whole[-1].manifest.next_offset if whole else 0

    async def choose(self, partition: int, choose: Choose) -> T | None:
        """Give what the first of these snapshots is of that can be read; None when there is none."""
        broken: set[SnapshotId] = set()
        while True:
            async with self._lock:
                wanted = choose(await self._catch_up(partition))
                kept = next((one for one in wanted if id_of(one.manifest) not in broken), None)
                chunks = None if kept is None else await self._chunks_of(partition, kept)
            if kept is None:
                return None
            if chunks is None:
                continue
            try:
                return await asyncio.to_thread(self._decode, chunks)
            except BrokenSnapshotError:
                name = self._topic_name
                logger.exception("a snapshot of partition %d in %s is passed over", partition, name)
                broken.add(id_of(kept.manifest))

    async def put(
        self,
        appender: Appender,
        manifest: SnapshotManifest,
        chunks: Sequence[bytes],
        log_start: Callable[[int], Awaitable[int]],
        *,
        step_ms: int,
    ) -> None:
        """Write a snapshot, read it back, and only then remove those that nobody needs.

        Chunks are appended one at a time, so other appends of this process go in between.

        Parameters
        ----------
        log_start, step_ms
            Say which older ones are needed: ``schemas.snapshots.SnapshotCatalog.superseded``. The start of
            the log (given its partition) is asked for as late as can be.

        Raises
        ------
        TornSnapshotError
            It was not all there when read back; nothing was removed. Try again with a later image.
        """
        partition = manifest.partition
        reached(Failpoint.IMAGE_TAKEN)
        for number, chunk in enumerate(chunks):
            await appender.append([chunk_record(self._topic_name, manifest, number, chunk)])
            reached(Failpoint.CHUNK_APPENDED)
        await appender.append([manifest_record(self._topic_name, manifest)])
        reached(Failpoint.MANIFEST_APPENDED)
        async with self._lock:
            catalog = await self._catch_up(partition)
        if not catalog.is_whole(id_of(manifest)):
            raise TornSnapshotError(
                f"the snapshot of partition {partition} up to {manifest.next_offset} in "
                f"{self._topic_name} is not whole"
            )
        start = await log_start(partition)
        superseded = catalog.superseded(self._topic_name, partition, log_start=start, step_ms=step_ms)
        reached(Failpoint.SNAPSHOT_READ_BACK)
        await appender.append(superseded)
        reached(Failpoint.TOMBSTONES_APPENDED, when=superseded)

    def _topic(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic_name, partition)

    async def _catch_up(self, partition: int) -> SnapshotCatalog:
        topic, shelf = self._topic(partition), self._shelves.get(partition)
        if shelf is None:
            start = (await self._reader.start_offsets([topic]))[topic]
            shelf = _Shelf(SnapshotCatalog(self._epoch, self._can_use), start)
        catalog = shelf.catalog

        def take(record: Record) -> None:
            catalog.take(record)

        end = await self._read(topic, shelf.next_offset, take)
        self._shelves[partition] = _Shelf(catalog, end)
        return catalog

    async def _chunks_of(self, partition: int, kept: KeptSnapshot) -> list[bytes] | None:
        """Read the chunks of one snapshot; None when it was removed meanwhile: choose again."""
        name, catalog = id_of(kept.manifest), self._shelves[partition].catalog
        chunks: dict[int, bytes] = {}

        def take(record: Record) -> None:
            place = catalog.take(record)
            if place.snapshot != name or place.chunk is None:
                return
            if record.value is not None and chunk_digest(record.value) == catalog.digest(name, place.chunk):
                chunks[place.chunk] = record.value

        end = await self._read(self._topic(partition), kept.first_record, take)
        self._shelves[partition] = _Shelf(catalog, end)
        if not catalog.is_whole(name) or len(chunks) < kept.manifest.chunks:
            return None
        return [chunks[number] for number in range(kept.manifest.chunks)]

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
