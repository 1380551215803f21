"""Publishes models and says which are in force: what the trainer and people do with the topic ``models``.

Built on the other ports alone, so it is the same for the real log and for the one in memory.
"""

from collections.abc import Callable, Sequence

from core.log import Record
from ports.failpoints import Failpoint, reached
from ports.log import Appender, PartitionReader
from schemas.model_book import ModelBook
from schemas.models import (
    BrokenModelError,
    Chunk,
    ModelManifest,
    PoolLaw,
    Purpose,
    Standing,
    chunk_record,
    chunked,
    law_record,
    manifest_record,
    place_of_models,
    put_together,
    read_model_record,
    sha256_of,
    standing_record,
    survives,
)
from schemas.topics import RouteMap

POLL_S = 0.5

Act = Callable[[ModelBook], Standing]
"""Decides which models are in force, from all that stands in the topic for their purpose; raises what the
caller wants to hear."""


class NotPublishedError(Exception):
    """A model could not be read back as it was written; nothing uses it. Publish it again."""


class ModelShelf:
    """The topic ``models`` for whoever writes models of one purpose.

    Parameters
    ----------
    reader, appender
        The reader is used for this alone, and calls must not overlap; the caller closes both.
    """

    def __init__(
        self,
        reader: PartitionReader,
        appender: Appender,
        routes: RouteMap,
        *,
        purpose: Purpose = Purpose.ORDER,
    ) -> None:
        self._reader = reader
        self._appender = appender
        self._routes = routes
        self._place = place_of_models(routes)
        self._book = ModelBook(purpose)
        self.purpose = purpose

    async def look(self) -> ModelBook:
        """Read to the end known at this moment, and give all that stands there for this purpose."""
        # Asked before anything is fetched: an answer waits behind a fetch that waits for records.
        end = (await self._reader.end_offsets([self._place]))[self._place]
        start = self._book.next_offset
        if not start:
            start = (await self._reader.start_offsets([self._place]))[self._place]
        await self._read(start, end, self._take)
        return self._book

    async def bytes_of(self, manifest: ModelManifest) -> bytes:
        """Read the bytes of a model.

        Raises
        ------
        schemas.models.BrokenModelError
            They are not there any more, or are not what the manifest says.
        """
        book = await self.look()
        chunks: dict[int, bytes] = {}

        def take(record: Record) -> None:
            match read_model_record(record, self.purpose):
                case Chunk(sha256, number, data) if sha256 == manifest.sha256:
                    chunks[number] = data

        if book.has_bytes(manifest):
            await self._read(book.first_chunk(manifest), book.next_offset, take)
        return put_together(manifest, chunks)

    async def publish(self, manifest: ModelManifest, data: bytes) -> None:
        """Write a model: all chunks, and when they are acknowledged its manifest; then read it back.

        Afterwards the bytes of old models that nobody uses are removed. Repeated, it changes nothing more.

        Raises
        ------
        ValueError
            The manifest does not speak of these bytes, or not of a model of this purpose.
        NotPublishedError
            Somebody removed a chunk meanwhile, or the log does not give back what was appended.
        """
        chunks = chunked(data)
        spoken_of = (manifest.sha256, manifest.size_bytes, manifest.chunks)
        if spoken_of != (sha256_of(data), len(data), len(chunks)):
            raise ValueError(f"the manifest of model {manifest.id} speaks of other bytes")
        if manifest.purpose != self.purpose:
            raise ValueError(f"model {manifest.id} is for {manifest.purpose}, not for {self.purpose}")
        if not survives(manifest):
            raise ValueError(
                f"the manifest of model {manifest.id} cannot be read again as it is written: its times and "
                "sizes must be possible, and its metrics finite numbers"
            )
        reached(Failpoint.MODEL_CUT)
        # One at a time, so that other appends of this process go in between.
        for number, chunk in enumerate(chunks):
            record = chunk_record(self._routes, Chunk(manifest.sha256, number, chunk), self.purpose)
            await self._appender.append([record])
            reached(Failpoint.MODEL_CHUNK_APPENDED)
        await self._appender.append([manifest_record(self._routes, manifest)])
        reached(Failpoint.MODEL_MANIFEST_APPENDED)
        book = await self.look()
        if book.manifests.get(manifest.id) != manifest or not await self._reads_back(manifest):
            raise NotPublishedError(
                f"model {manifest.id} does not read back as it was written: publish it again"
            )
        superseded = book.superseded(self._routes)
        reached(Failpoint.MODEL_READ_BACK)
        await self._appender.append(superseded)
        reached(Failpoint.MODELS_REMOVED, when=superseded)

    async def _reads_back(self, manifest: ModelManifest) -> bool:
        try:
            await self.bytes_of(manifest)
        except BrokenModelError:
            return False
        return True

    async def act(self, decide: Act) -> Standing:
        """Change which models are in force; give what stands there now.

        Two that act at once both count: whoever comes second decides again on what the first one said,
        so that a model promoted in the same moment never undoes the kill switch.
        """
        book = await self.look()
        standing = decide(book)
        while between := await self._put(standing):
            book.standing = between[-1]
            try:
                standing = decide(book)
            except Exception:
                await self.act(_as_it_stood)
                raise
        return standing

    async def tell_laws(self, laws: Sequence[PoolLaw]) -> None:
        """Say what the buckets of pools cover, by which jobs are ordered; of every purpose alike."""
        records = [law_record(self._routes, law) for law in laws]
        reached(Failpoint.LAWS_DUE)
        await self._appender.append(records)
        reached(Failpoint.LAWS_TOLD)

    async def _put(self, standing: Standing) -> list[Standing]:
        """Append a standing; give those that somebody else appended since ours was decided."""
        after = self._book.standing_offset
        reached(Failpoint.STANDING_DUE)
        (appended,) = await self._appender.append([standing_record(self._routes, standing, self.purpose)])
        reached(Failpoint.STANDING_TOLD)
        between: list[Standing] = []

        def take(record: Record) -> None:
            message = read_model_record(record, self.purpose)
            if isinstance(message, Standing) and after < record.offset < appended.offset:
                between.append(message)
            self._take(record)

        await self._read(self._book.next_offset, appended.offset + 1, take)
        return between

    def _take(self, record: Record) -> None:
        self._book.take(record)

    async def _read(self, start: int, end: int, take: Callable[[Record], None]) -> None:
        """Read what stands between two offsets, and perhaps some more."""
        if start >= end:
            return
        try:
            await self._reader.assign({self._place: start})
            while self._reader.position(self._place) < end:
                for record in await self._reader.poll(POLL_S):
                    take(record)
        finally:
            await self._reader.assign({})


def _as_it_stood(book: ModelBook) -> Standing:
    assert book.standing is not None
    return book.standing
