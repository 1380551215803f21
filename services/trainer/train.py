"""One round of the trainer: look, have a model made, publish it, and say which is in force."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import NamedTuple

from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from ports.model_shelf import ModelShelf, NotPublishedError
from ports.stage import stopped_within
from ports.training import Found, Maker, MakingFailedError, Order, UnavailableError
from schemas.model_book import ModelBook
from schemas.models import BrokenModelError, ModelManifest, Purpose, Standing
from services.trainer.decide import Plan, after_drift, after_model, order_of, pause_s, unfinished

logger = logging.getLogger(__name__)


class Trust(NamedTuple):
    """Signatures, where there is a key."""

    sign: Callable[[ModelManifest], ModelManifest]
    is_trusted: Callable[[ModelManifest], bool]


class AsItStandsError(Exception):
    """There is nothing to say about which model is in force."""


class Trainer:
    """Makes models of one purpose for as long as it runs. Everything it knows stands in ``models``.

    Two at once do no harm: each model is published under its own id, and one is promoted only over the
    champion it was judged against.

    Parameters
    ----------
    shelf
        Of ``purpose``.
    now_ms
        Broker time.
    """

    def __init__(
        self,
        *,
        shelf: ModelShelf,
        maker: Maker,
        plan: Plan,
        check_s: float,
        trust: Trust,
        now_ms: Callable[[], int],
        meter: Meter,
        looked: Callable[[], None],
        purpose: Purpose = Purpose.ORDER,
    ) -> None:
        self._purpose = purpose
        self._shelf = shelf
        self._maker = maker
        self._plan = plan
        self._check_s = check_s
        self._trust = trust
        self._now_ms = now_ms
        self._meter = meter
        self._looked = looked
        self._failures = 0
        self._waited_for = ""
        self._spared = ""
        """The champion that was given to a maker that failed."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Go round until ``stopping``; a round under way is cut off then, for another can make it again."""
        told = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                going = asyncio.create_task(self.round())
                await asyncio.wait({going, told}, return_when=asyncio.FIRST_COMPLETED)
                if not going.done():
                    going.cancel()
                    await asyncio.wait({going})
                    return
                await going
                await stopped_within(stopping, pause_s(self._check_s, self._plan.every_s, self._failures))
        finally:
            told.cancel()

    async def round(self) -> None:
        """Look once, and do what there is to do."""
        book = await self._shelf.look()
        self._looked()
        if (left := unfinished(book)) is not None:
            logger.info("model %s was published, and nothing was said about it", left.id)
            await self._say_of_model(left)
        order = order_of(book, self._plan, self._now_ms())
        reached(Failpoint.TRAINING_DUE)
        champion = await self._champion_bytes(order)
        try:
            found, model = await self._maker.make(order, champion)
        except UnavailableError as error:
            self._failed("unavailable", str(error))
            return
        except MakingFailedError as error:
            # It may be the champion that brings down whoever loads it.
            self._spared = order.champion.id if order.champion is not None and champion else self._spared
            self._failed("failed", str(error))
            return
        try:
            await self._carry_on(order, found, model)
        except NotPublishedError as error:
            self._failed("failed", str(error))
            return
        self._failures = 0

    async def _carry_on(self, order: Order, found: Found, model: bytes) -> None:
        reached(Failpoint.TRAINED, when=found.model)
        if found.model is not None:
            await self._shelf.publish(self._trust.sign(found.model), model)
            reached(Failpoint.MODEL_PUBLISHED)
            self._meter.count(Metric.TRAININGS, purpose=self._purpose.value, came="made")
            logger.info(
                "published model %s for %s: %s", found.model.id, self._purpose.value, found.model.judged
            )
        else:
            self._say_what_is_missing(found.waits_for)
        if order.champion is not None and not found.may_be_promoted:
            await self._say_of_drift(order.champion, found)
        if found.model is not None:
            await self._say_of_model(found.model)
        if found.laws:
            await self._shelf.tell_laws(found.laws)
            logger.info("costs have moved in pools %s", ", ".join(law.pool for law in found.laws))

    def _say_what_is_missing(self, waits_for: str) -> None:
        """Say it when it is another than the last time: it is so for most of the time."""
        if waits_for != self._waited_for:
            logger.info("no model for %s is made: %s", self._purpose.value, waits_for)
        self._waited_for = waits_for

    async def _say_of_model(self, made: ModelManifest) -> None:
        await self._act(
            lambda book: after_model(book, made, promote=self._plan.promote, at_ms=self._now_ms())
        )

    async def _say_of_drift(self, champion: ModelManifest, found: Found) -> None:
        if found.drift is None:
            return
        for name, value in found.drift.measures.items():
            self._meter.gauge(Metric.DRIFT, value, purpose=self._purpose.value, measure=name)
        await self._act(lambda book: after_drift(book, champion.id, found.drift, at_ms=self._now_ms()))

    async def _act(self, decide: Callable[[ModelBook], Standing | None]) -> None:
        def decided(book: ModelBook) -> Standing:
            standing = decide(book)
            if standing is None:
                raise AsItStandsError
            return standing

        if decide(await self._shelf.look()) is None:
            return
        # Somebody may say something in between, and then that may stand.
        with contextlib.suppress(AsItStandsError):
            standing = await self._shelf.act(decided)
            logger.info("champion %s, shadow %s: %s", standing.champion, standing.shadow, standing.reason)

    async def _champion_bytes(self, order: Order) -> bytes:
        if order.champion is None:
            return b""
        if order.champion.id == self._spared:
            logger.warning("champion %s is not judged beside: training failed with it", order.champion.id)
            return b""
        if not self._trust.is_trusted(order.champion):
            logger.warning(
                "the champion %s cannot be judged: it is not signed with our key", order.champion.id
            )
            return b""
        try:
            return await self._shelf.bytes_of(order.champion)
        except BrokenModelError as error:
            logger.warning("the champion cannot be judged: %s", error)
            return b""

    def _failed(self, came: str, said: str) -> None:
        self._failures += 1
        self._meter.count(Metric.TRAININGS, purpose=self._purpose.value, came=came)
        logger.warning("no model for %s was made: %s", self._purpose.value, said)
