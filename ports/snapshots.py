"""Keeps snapshots of ledger folds in the log, and finds the newest one again.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from core.ledger.fold import LedgerFold
from core.ledger.image import LedgerImage
from core.ledger.snapshot import chunks_of, fold_from
from core.log import TopicPartition
from ports.log import Appender, PartitionReader
from ports.snapshot_shelf import Choose, SnapshotShelf
from schemas.ledger import LedgerFolds
from schemas.snapshots import STEPS, SnapshotManifest, is_ledger_snapshot, manifest_of
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

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


class SnapshotReader(SnapshotShelf[LedgerFold]):
    """Reads the snapshots of all partitions.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it. Calls wait for one another.
    """

    def __init__(self, routes: RouteMap, epoch: str, reader: PartitionReader) -> None:
        super().__init__(routes.snapshots, epoch, reader, fold_from, is_ledger_snapshot)
        self._routes = routes

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
        return await self._folded(partition, lambda catalog: catalog.whole(at_least, at_most)[::-1])

    async def load_first(self, partition: int, at_least: int) -> LedgerFold | None:
        """Give the fold of the oldest whole snapshot that does not end before ``at_least``.

        With the ledger's start, it is where a fold of all there still is begins. None when there is none.
        """
        return await self._folded(partition, lambda catalog: catalog.whole(at_least))

    async def earliest(self, partition: int) -> int | None:
        """Give the first ledger offset that a fold can begin at; None where there is no such place."""
        start = await self.log_start(partition)
        if not start:
            return 0
        fold = await self.load_first(partition, start)
        return None if fold is None else fold.next_offset

    async def _folded(self, partition: int, choose: Choose) -> LedgerFold | None:
        fold = await self.choose(partition, choose)
        if fold is not None:
            offset, finished = fold.next_offset, fold.finished_jobs
            logger.info(
                "restored ledger partition %d up to offset %d: %d jobs finished, %d open",
                *(partition, offset, finished, len(fold.open)),
            )
        return fold

    async def log_start(self, partition: int) -> int:
        """Give the offset of the oldest record of a ledger partition."""
        ledger = TopicPartition(self._routes.ledger, partition)
        async with self._lock:
            return (await self._reader.start_offsets([ledger]))[ledger]


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
        await self.put(self._appender, manifest, chunks, self.log_start, step_ms=self._step_ms)
        return manifest


def _listed(chunks: Iterable[bytes]) -> list[bytes]:
    return list(chunks)
