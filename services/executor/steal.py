"""Steal: an executor with nothing to claim of its own takes waiting dispatches of other partitions.

It looks now and then how far the others have come, follows the partitions where something stays
unhandled, and claims there as an owner would: under the same fold, lease and read-back.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable

from core.log import TopicPartition
from core.stealing import (
    FOLLOW_S,
    LOOK_GAP_S,
    UNEVEN_S,
    Backoff,
    Look,
    follow_next,
    look_again_s,
    ripe_ms,
    stuck,
    worth_following,
)
from ports.log import GroupProgress, ProgressUnknownError
from ports.meter import Metric
from schemas.executors import dispatch_key
from services.executor.context import ExecutorContext
from services.executor.fetch import Fetcher
from services.executor.held import Held, HeldJob, Source, WaitingJob
from services.executor.lanes import ForeignLanes

logger = logging.getLogger(__name__)

HEADS = 16
"""Dispatches read ahead per bucket and partition of others: there is no more to gain than free slots."""


class Thief:
    """Knows which partitions of others to follow, and what waits there.

    Parameters
    ----------
    fetcher
        Over ``lanes``.
    owned
        Gives the partitions that are this executor's own now.
    can_follow
        Prepares to follow the ledger of a partition; False when that is not possible now.
    spare
        Set while slots stay free although everything claimable of its own was claimed.
    draw
        Uniform in [0, 1).
    """

    def __init__(
        self,
        context: ExecutorContext,
        progress: GroupProgress,
        lanes: ForeignLanes,
        fetcher: Fetcher,
        held: Held,
        *,
        most: int,
        owned: Callable[[], frozenset[int]],
        can_follow: Callable[[int], Awaitable[bool]],
        spare: asyncio.Event,
        draw: Callable[[], float],
    ) -> None:
        self._context = context
        self._progress = progress
        self._lanes = lanes
        self._fetcher = fetcher
        self._held = held
        self._most = most
        self._owned = owned
        self._can_follow = can_follow
        self._spare = spare
        self._draw = draw
        self._until: dict[int, float] = {}
        self._before: Look = {}
        self._backoffs: dict[int, Backoff] = {}
        self._quiet_looks = 0
        self._uneven_until_s = -math.inf
        self._ripe_ms: int | None = None

    @property
    def partitions(self) -> frozenset[int]:
        """Partitions of others whose ledger must be followed."""
        return frozenset(self._until)

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again until ``stopping``."""
        while not stopping.is_set():
            await self._pause(stopping)
            if not stopping.is_set():
                await self.look()

    async def _pause(self, stopping: asyncio.Event) -> None:
        """Wait for the next look: its time, or that a slot comes free when none was."""
        awaited = stopping if self._spare.is_set() else self._spare
        began_s = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(look_again_s(self._quiet_looks, self._draw())):
                await awaited.wait()
        passed_s = asyncio.get_running_loop().time() - began_s
        if not stopping.is_set():
            await asyncio.sleep(max(0.0, LOOK_GAP_S - passed_s))

    async def look(self) -> None:
        """Find out where something stays unhandled, if there is a slot for it; follow that."""
        waiting: dict[int, int] = {}
        now: Look = {}
        foreign = self._foreign()
        if foreign and self._spare.is_set():
            try:
                now = await self._progress.look(foreign)
            except ProgressUnknownError as error:
                logger.debug("cannot look for work of others: %s", error)
                return
            if stuck(self._before, now):
                self._note_uneven()
            is_uneven = self._context.now_s() < self._uneven_until_s
            waiting = worth_following(self._before, now, is_uneven=is_uneven)
            self._before = now
            is_quiet = not any(progress.lag for progress in now.values())
            self._quiet_looks = self._quiet_looks + 1 if is_quiet else 0
        await self._follow(self._next(waiting), now)

    def take(self, wanted: int, fits: Callable[[WaitingJob], bool]) -> list[WaitingJob]:
        """Take the dispatches of others that should run next and are this executor's to take by now."""
        now_ms, owned = self._context.now_ms(), self._owned()
        self._ripe_ms = None

        def fits_now(waiting: WaitingJob) -> bool:
            if waiting.record.partition in owned:
                return False
            at_ms = max(self._ripe_at_ms(waiting), self._backoff(waiting.record.partition).until_ms)
            if at_ms > now_ms:
                self._ripe_ms = at_ms if self._ripe_ms is None else min(at_ms, self._ripe_ms)
                return False
            return fits(waiting)

        return self._fetcher.take(wanted, fits_now)

    def handled(self, jobs: Iterable[WaitingJob]) -> None:
        """Note that these need no further reading; where one was claimed now, more may be stuck."""
        jobs = list(jobs)
        self._fetcher.handled(jobs)
        until_s = self._context.now_s() + FOLLOW_S
        for waiting in jobs:
            held = self._held.get(dispatch_key(waiting.queued.job.origin, waiting.queued.job.n))
            if held is not None and held.partition in self._until:
                self._until[held.partition] = until_s
                self._note_uneven()

    def read_back(self, held: HeldJob, *, holds: bool) -> None:
        """Learn whether a claim came too late: where that is so, let a while pass before the next."""
        if held.source is Source.STOLEN:
            known = self._backoff(held.partition)
            self._backoffs[held.partition] = known.after(
                holds=holds, now_ms=self._context.now_ms(), draw=self._draw()
            )

    def shed(self, is_over: Callable[[WaitingJob], bool]) -> None:
        """Let go of what their owners, or others, have claimed."""
        self._fetcher.shed(is_over)

    def ripe_in_s(self) -> float | None:
        """Give the seconds until the next dispatch passed over is this executor's to take; None: none."""
        if self._ripe_ms is None or not self._spare.is_set():
            return None
        return max(0.0, (self._ripe_ms - self._context.now_ms()) / 1000)

    def _note_uneven(self) -> None:
        self._uneven_until_s = self._context.now_s() + UNEVEN_S

    def _backoff(self, partition: int) -> Backoff:
        return self._backoffs.get(partition, Backoff())

    def _foreign(self) -> list[TopicPartition]:
        """Give the lanes of all partitions this executor does not own, owned by somebody or not."""
        owned, routes = self._owned(), self._context.routes
        others = [partition for partition in range(routes.partitions) if partition not in owned]
        topics = routes.executions(self._context.pool)
        return [TopicPartition(topic, partition) for partition in others for topic in topics]

    def _next(self, waiting: dict[int, int]) -> dict[int, float]:
        return follow_next(
            self._until,
            waiting,
            self._owned(),
            now_s=self._context.now_s(),
            most=self._most,
            name=self._context.instance,
        )

    async def _follow(self, until: dict[int, float], now: Look) -> None:
        """Follow these partitions; begin all their lanes at the committed offsets when they are others."""
        possible = {p: at_s for p, at_s in until.items() if p in self._until or await self._can_follow(p)}
        self._until = possible
        self._context.meter.gauge(Metric.FOLLOWED, len(possible), pool=self._context.pool)
        if self._lanes.partitions == possible.keys():
            return
        if not now and possible:
            # Some have run out, and how far the others are is known at the next look. What is read of
            # those that ran out meanwhile is not claimed: nobody follows their ledger.
            return
        logger.info("follows partitions %s of others", sorted(possible))
        self._lanes.begin({lane: seen.committed for lane, seen in now.items() if lane.partition in possible})

    def _ripe_at_ms(self, waiting: WaitingJob) -> int:
        job = waiting.queued.job
        return ripe_ms(waiting.record.timestamp_ms, dispatch_key(job.origin, job.n), self._context.instance)
