"""Keeps snapshots of ledger folds in the log, and finds the newest one again.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.ledger.fold import LedgerFold
from core.ledger.image import LedgerImage
from core.ledger.snapshot import BrokenSnapshotError, chunk_digest, chunks_of, fold_from
from core.log import Record, TopicPartition
from ports.failpoints import Failpoint, reached
from ports.log import Appender, PartitionReader
from schemas.ledger import LedgerFolds
from schemas.snapshots import (
    STEPS,
    KeptSnapshot,
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
LEDGER_KEEP_MS = 7 * 86_400_000
"""How long ledger records are kept unless the settings say otherwise."""


class LedgerTrimmedError(Exception):
    """A fold must begin before the oldest ledger record, and no snapshot helps."""

    def __init__(self, ledger: str, partition: int, start: int, wanted: int) -> None:
        super().__init__(
            f"partition {partition} of {ledger} begins at offset {start} (older records are trimmed), and no "
            f"snapshot of it ends between {start} and {wanted}, from where the work would go on. Nothing was "
            "skipped. If the table was restored from an older dump, run `penstock rebuild`; else restore "
            "the topics, or drain and start a new epoch."
        )


class TornSnapshotError(Exception):
    """A snapshot just written could not be read back whole; the older ones stay as they are."""


@dataclass(slots=True)
class _Shelf:
    """What was read of one partition of the topic: its catalog, and how far that reaches."""

    catalog: SnapshotCatalog
    next_offset: int


class SnapshotReader:
    """Reads the snapshots of all partitions.

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
        self._shelves: dict[int, _Shelf] = {}

    async def restore(self, folds: LedgerFolds, at_most: Mapping[int, int]) -> list[int]:
        """Give folds without a beginning the newest snapshot there is; give the partitions that got one.

        A partition of which anything was folded is left alone. Decoding runs in a thread.

        Parameters
        ----------
        at_most
            Partition to the ledger offset beyond which its fold must not be. The ledger's end for
            who only follows; for who acts on every verdict, how far that work is committed.

        Raises
        ------
        LedgerTrimmedError
            There is none, and the ledger does not begin at its beginning any more.
        """
        restored: list[int] = []
        for partition, offset in at_most.items():
            if folds.next_offset(partition):
                continue
            start = await self.log_start(partition)
            fold = await self.load(partition, offset, start) if offset else None
            if fold is not None and folds.adopt(partition, fold):
                restored.append(partition)
            if fold is None and start:
                raise LedgerTrimmedError(self._routes.ledger, partition, start, offset)
        return restored

    async def load(self, partition: int, at_most: int, at_least: int = 0) -> LedgerFold | None:
        """Give the fold of the newest whole snapshot between these ledger offsets; None when there is none.

        Torn snapshots and those this code cannot use are passed over.
        """
        return await self._load(partition, lambda catalog: catalog.whole(at_least, at_most)[::-1])

    async def load_first(self, partition: int, at_least: int) -> LedgerFold | None:
        """Give the fold of the oldest whole snapshot that does not end before ``at_least``.

        With the ledger's start, it is where a fold of all there still is begins. None when there is none.
        """
        return await self._load(partition, lambda catalog: catalog.whole(at_least))

    async def whole(self, partition: int) -> list[KeptSnapshot]:
        """Give all whole snapshots of a partition, oldest first."""
        async with self._lock:
            return (await self._catch_up(partition)).whole()

    async def newest(self, partition: int) -> int:
        """Give the ledger offset up to which the newest whole snapshot reaches; 0 when there is none."""
        whole = await self.whole(partition)
        return whole[-1].manifest.next_offset if whole else 0

    async def log_start(self, partition: int) -> int:
        """Give the offset of the oldest record of a ledger partition."""
        ledger = TopicPartition(self._routes.ledger, partition)
        async with self._lock:
            return (await self._reader.start_offsets([ledger]))[ledger]

    async def _load(
        self, partition: int, choose: Callable[[SnapshotCatalog], list[KeptSnapshot]]
    ) -> LedgerFold | None:
        """Give the fold of the first of these that can be read."""
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
                fold = await asyncio.to_thread(fold_from, chunks)
            except BrokenSnapshotError:
                logger.exception("a snapshot of ledger partition %d is passed over", partition)
                broken.add(id_of(kept.manifest))
                continue
            offset, finished = fold.next_offset, fold.finished_jobs
            logger.info(
                "restored ledger partition %d up to offset %d: %d jobs finished, %d open",
                *(partition, offset, finished, len(fold.open)),
            )
            return fold

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


class SnapshotStore(SnapshotReader):
    """Writes snapshots too, and removes those that nobody needs.

    Parameters
    ----------
    instance
        Who writes; for people.
    ledger_keep_ms
        How long the ledger is kept; says which older snapshots are kept for its trimming.
    """

    def __init__(
        self,
        routes: RouteMap,
        epoch: str,
        appender: Appender,
        reader: PartitionReader,
        instance: str,
        *,
        ledger_keep_ms: int = LEDGER_KEEP_MS,
    ) -> None:
        super().__init__(routes, epoch, reader)
        self._appender = appender
        self._instance = instance
        self._step_ms = ledger_keep_ms // STEPS

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
        start = await self.log_start(partition)
        superseded = catalog.superseded(self._routes, partition, log_start=start, step_ms=self._step_ms)
        reached(Failpoint.SNAPSHOT_READ_BACK)
        await self._appender.append(superseded)
        reached(Failpoint.TOMBSTONES_APPENDED, when=superseded)
        return manifest


def _listed(chunks: Iterable[bytes]) -> list[bytes]:
    return list(chunks)
