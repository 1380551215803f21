"""Follows ``models``: which model of a purpose is in force now, tried out before it is."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from core.learning.spread import Spread
from core.log import Record
from ports.log import PartitionReader
from ports.meter import Meter, Metric
from schemas.model_book import ModelBook
from schemas.models import (
    BrokenModelError,
    Chunk,
    FailingPoint,
    ModelManifest,
    Purpose,
    Standing,
    place_of_models,
    put_together,
    read_model_record,
)
from schemas.topics import RouteMap

POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""
TRY_AGAIN_S = 300.0
"""A model that was refused, and is still wanted, is tried again so much later: the machine may have been to
blame. Each time costs a process for seconds."""

logger = logging.getLogger(__name__)

_DOES = {Purpose.ORDER: "jobs are ordered by", Purpose.RETRY: "retries are timed by"}


class Loaded(Protocol):
    """A model as it is asked, of whatever purpose."""

    @property
    def name(self) -> str:
        """Its id."""
        ...


M = TypeVar("M", bound=Loaded)
TryOut = Callable[[ModelManifest, bytes], Awaitable[M]]
"""Gives the model, or raises ``RefusedModelError`` when it may not be used."""


class RefusedModelError(Exception):
    """A model may not be used; says why, and what to do about it."""


class ModelWatch(Generic[M]):
    """Keeps the models of one purpose in force. What was good stays until the next one is good.

    The newest model, the shadow and the last champion are tried out ahead, so that promoting one of them, or
    going back, is a matter of one poll. An older one is read and tried out first, while the one in force
    goes on. While models are disabled nothing is tried.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    try_out
        Gives the model of a manifest and its bytes; whatever it raises refuses the model.
    """

    def __init__(
        self,
        reader: PartitionReader,
        routes: RouteMap,
        meter: Meter,
        *,
        try_out: TryOut[M],
        purpose: Purpose = Purpose.ORDER,
    ) -> None:
        self._reader = reader
        self._place = place_of_models(routes)
        self._meter = meter
        self._try_out = try_out
        self._purpose = purpose
        self._book = ModelBook(purpose)
        self._good: dict[str, M] = {}
        """Tried out and loaded, by id."""
        self._refused_at_s: dict[str, float] = {}
        self._trial: asyncio.Task[None] | None = None
        self._champion: M | None = None
        self._shadow: M | None = None

    @property
    def champion(self) -> M | None:
        """The model that is asked; None: there is none, or models are disabled."""
        return self._champion

    @property
    def shadow(self) -> M | None:
        """The model that predicts beside it; None: there is none, or models are disabled."""
        return self._shadow

    @property
    def failing(self) -> FailingPoint | None:
        """From which probability on the champion is nearly certain of failures; None: there is no such."""
        manifest = None if self._champion is None else self._book.manifests.get(self._champion.name)
        return None if manifest is None else manifest.failing

    @property
    def standing(self) -> Standing | None:
        """What was last said about which models are in force; None: nothing yet."""
        return self._book.standing

    def law(self, pool: str) -> Spread | None:
        """Give the range of costs of a pool; None: not known, or models are disabled."""
        return self._book.law(pool)

    async def start(self) -> None:
        """Begin at the oldest record; nobody waits until all is read."""
        await self._reader.assign(await self._reader.start_offsets([self._place]))

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until ``stopping``."""
        try:
            while not stopping.is_set():
                self.take(await self._reader.poll(POLL_S))
                await self._go_on()
        finally:
            if self._trial is not None:
                self._trial.cancel()
                await asyncio.gather(self._trial, return_exceptions=True)

    def take(self, records: Sequence[Record]) -> None:
        """Take in what was published; one that is already good is in force when this returns."""
        before = self._book.standing_offset
        for record in records:
            self._book.take(record)
        if self._book.standing_offset != before and self._book.standing is not None:
            # Whoever says so again has a reason: it is tried again.
            self._refused_at_s = {
                one: at_s for one, at_s in self._refused_at_s.items() if one not in self._book.needed()
            }
        self._put_in_force()

    async def _go_on(self) -> None:
        """Begin the next trial when none is under way and all was read."""
        if self._trial is not None or self._reader.position(self._place) < self._reader.known_end(
            self._place
        ):
            return
        wanted = self._next_to_try()
        if wanted is None:
            return
        try:
            data = await self._bytes_of(wanted)
        except BrokenModelError as error:
            self._refuse(wanted, error)
            return
        self._trial = asyncio.create_task(self._tried(wanted, data))
        self._trial.add_done_callback(self._end_trial)

    def _end_trial(self, _: "asyncio.Task[None]") -> None:
        self._trial = None
        self._put_in_force()

    def _wanted(self) -> list[str]:
        """Give the models that must be ready, most urgent first."""
        standing, newest = self._book.standing, self._book.newest
        latest = None if newest is None else newest.id
        if standing is None:
            named = [latest]
        else:
            named = [standing.champion, standing.shadow, latest, standing.previous]
        return [one for one in dict.fromkeys(named) if one is not None and one in self._book.manifests]

    def _next_to_try(self) -> ModelManifest | None:
        if self._book.standing is not None and not self._book.standing.enabled:
            return None
        soonest_s = time.monotonic() - TRY_AGAIN_S
        for one in self._wanted():
            refused_at_s = self._refused_at_s.get(one)
            if one not in self._good and (refused_at_s is None or refused_at_s < soonest_s):
                return self._book.manifests[one]
        return None

    async def _tried(self, manifest: ModelManifest, data: bytes) -> None:
        try:
            self._good[manifest.id] = await self._try_out(manifest, data)
        except RefusedModelError as error:
            self._refuse(manifest, error)
        except Exception as error:
            logger.exception("trying model %s out failed", manifest.id)
            self._refuse(manifest, error)
        else:
            self._refused_at_s.pop(manifest.id, None)
            self._meter.count(Metric.MODELS_TRIED, purpose=self._purpose.value, result="good")

    def _refuse(self, manifest: ModelManifest, error: Exception) -> None:
        self._refused_at_s[manifest.id] = time.monotonic()
        self._meter.count(Metric.MODELS_TRIED, purpose=self._purpose.value, result="refused")
        logger.error("model %s is refused: %s; %s", manifest.id, error, self._in_force())

    def _in_force(self) -> str:
        return f"{_DOES[self._purpose]} {'no model' if self._champion is None else self._champion.name}"

    def _put_in_force(self) -> None:
        """Make the standing true as far as models are good; the rest stays as it is."""
        standing, wanted = self._book.standing, self._wanted()
        before = self._champion
        if standing is None or not standing.enabled:
            self._champion = self._shadow = None
        else:
            if standing.champion is None or standing.champion in self._good:
                self._champion = None if standing.champion is None else self._good[standing.champion]
            self._shadow = None if standing.shadow is None else self._good.get(standing.shadow)
        self._good = {one: model for one, model in self._good.items() if one in wanted}
        for role, model in (("champion", self._champion), ("shadow", self._shadow)):
            self._meter.gauge(Metric.MODELS_READY, model is not None, purpose=self._purpose.value, role=role)
        if self._champion is not before:
            logger.info(self._in_force())

    async def _bytes_of(self, manifest: ModelManifest) -> bytes:
        """Read the chunks of one model once more, and go on where reading was."""
        chunks: dict[int, bytes] = {}
        if not self._book.has_bytes(manifest):
            # What is removed can be read until it is compacted away; nobody must count on that.
            return put_together(manifest, chunks)
        go_on_at = self._reader.position(self._place)
        at = self._book.first_chunk(manifest)
        try:
            await self._reader.assign({})
            await self._reader.assign({self._place: at})
            while at < go_on_at and len(chunks) < manifest.chunks:
                for record in await self._reader.poll(POLL_S):
                    match read_model_record(record, self._purpose):
                        case Chunk(sha256, number, data) if sha256 == manifest.sha256:
                            chunks[number] = data
                at = self._reader.position(self._place)
        finally:
            await self._reader.assign({})
            await self._reader.assign({self._place: go_on_at})
        return put_together(manifest, chunks)
