"""Claim queued dispatches: append first, start nothing before the claim was read back."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from core.learning.events import Status
from core.ledger.verdicts import Claimed, Expired
from core.log import NewRecord
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from schemas.accepted_job import AcceptedJob
from schemas.codec import ledger_record
from schemas.executors import dispatch_key
from schemas.ledger import LedgerFolds
from services.executor.context import ExecutorContext
from services.executor.held import Held, HeldJob, Source, Stage, WaitingJob
from services.executor.leased import Leased
from services.executor.limit import Limiter
from services.executor.workers.pool import WorkerPool

logger = logging.getLogger(__name__)

CANCELLED_MAX = 10_000
"""Cancelled jobs remembered until they leave the queue; of one forgotten nobody learns that it left."""


class Queue(Protocol):
    """Waiting dispatches, best first."""

    def take(self, wanted: int, fits: Callable[[WaitingJob], bool]) -> list[WaitingJob]:
        """Take at most ``wanted`` that fit."""
        ...

    def handled(self, jobs: Iterable[WaitingJob]) -> None:
        """Note that these were claimed, or cannot be any more."""
        ...

    def shed(self, is_over: Callable[[WaitingJob], bool]) -> None:
        """Take what is over off the front, and note it as handled."""
        ...


class StolenQueue(Queue, Protocol):
    """Dispatches waiting in partitions of others; some may be taken only from a time on."""

    def ripe_in_s(self) -> float | None:
        """Give the seconds until there is more to take, None when that is not known."""
        ...


class Claimer:
    """Fills free slots with the dispatches that should run next: its own first, then those of others.

    Parameters
    ----------
    looked
        Called after every look at what waits, when the claims it led to are in the log.
    """

    def __init__(
        self,
        context: ExecutorContext,
        folds: LedgerFolds,
        fetcher: Queue,
        held: Held,
        leased: Leased,
        workers: WorkerPool,
        may_claim_on: Callable[[int], bool],
        stolen: StolenQueue | None = None,
        limiter: Limiter | None = None,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._folds = folds
        self._fetcher = fetcher
        self._held = held
        self._leased = leased
        self._workers = workers
        self._may_claim_on = may_claim_on
        self.stolen = stolen
        """Where to look when nothing of its own is left to claim; None: nowhere."""
        self._limiter = limiter
        self._seq = 0
        self._cancelled: dict[str, None] = {}
        self.spare = asyncio.Event()
        """Set while slots stay free although everything that could be claimed was claimed."""
        self.wake = asyncio.Event()
        """Set when something arrived, a slot came free, or the lease was confirmed."""
        self._looked = looked

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim whenever there is something to claim, until ``stopping``."""
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_again_s()):
                    await self.wake.wait()
            self.wake.clear()
            while not stopping.is_set():
                has_handled = await self._claim_once()
                self._looked()
                if not has_handled:
                    break

    def _look_again_s(self) -> float | None:
        """Give the seconds until there may be more to claim although nothing happens; None: there is not."""
        ripe_s = self.stolen.ripe_in_s() if self.stolen is not None else None
        # Without a free slot a token is of no use: a slot that comes free wakes.
        wants_token = self._limiter is not None and self.spare.is_set()
        token_s = self._limiter.next_in_s() if self._limiter is not None and wants_token else None
        return min((at_s for at_s in (ripe_s, token_s) if at_s is not None), default=None)

    async def _claim_once(self) -> bool:
        """Claim as many as there are free slots; whether any dispatch was handled."""
        if not self._leased.may_claim:
            self.spare.clear()
            return False
        free = self._workers.free_slots - self._held.count(Stage.CLAIMING)
        own = await self._claim_from(self._fetcher, free, Source.OWN)
        spare, stolen = free - own, 0
        if self.stolen is not None and self._leased.may_claim:
            stolen = await self._claim_from(self.stolen, spare, Source.STOLEN)
        if spare > stolen:
            self.spare.set()
        else:
            self.spare.clear()
        return own + stolen > 0

    def shed(self) -> None:
        """Let go of what others have claimed, also while no slot is free here.

        Else an executor busy for an hour would hold back the commit of what was stolen from it.
        """
        self._fetcher.shed(self.is_over)
        if self.stolen is not None:
            self.stolen.shed(self.is_over)

    def is_over(self, waiting: WaitingJob) -> bool:
        """Whether no claim of this dispatch can hold any more, as ``_verdict`` finds; then it is let go."""
        job, partition = waiting.queued.job, waiting.record.partition
        fold = self._folds.fold(partition)
        is_over = (
            self._may_claim_on(partition)
            and not fold.is_behind(job.origin, job.n)
            and not fold.may_claim(job.origin, job.job_id, job.n)
        )
        if is_over:
            self._let_go(job)
        return is_over

    async def _claim_from(self, queue: Queue, free: int, source: Source) -> int:
        """Claim from one queue at most ``free``; how many dispatches were handled."""
        if free <= 0:
            return 0
        budget: dict[str, int] = {}
        taken = queue.take(free, lambda waiting: self._fits(waiting, budget))
        if not taken:
            return 0
        executor, now_s = self._leased.boot_id, self._context.now_s()
        outputs: list[NewRecord] = []
        expired: list[AcceptedJob] = []
        for waiting in taken:
            verdict = self._verdict(waiting, executor)
            if not isinstance(verdict, Claimed) and self._limiter is not None:
                self._limiter.give_back(waiting.limits)
            if verdict is None:
                self._context.meter.count(
                    Metric.CLAIMS, pool=self._context.pool, source=source.value, result="skipped"
                )
                self._let_go(waiting.queued.job)
                continue
            outputs.append(ledger_record(self._context.routes, verdict))
            if isinstance(verdict, Claimed):
                partition = waiting.record.partition
                held = HeldJob(waiting.queued, partition, now_s, verdict.seq, source, limits=waiting.limits)
                held.is_oldest = waiting.is_oldest
                self._held.add(held)
            else:
                expired.append(waiting.queued.job)
        reached(Failpoint.CLAIM_DECIDED, when=outputs)
        await self._context.appender.append(outputs)
        reached(Failpoint.CLAIM_APPENDED, when=outputs)
        # The claim is in the log: whatever happens to us now, the keeper finds it there.
        queue.handled(taken)
        for job in expired:
            self._context.outcomes.ended(job, Status.EXPIRED)
        return len(taken)

    def cancelled(self, job_ids: Iterable[str]) -> None:
        """Take in that jobs were cancelled that nobody has claimed: they will leave the queue."""
        self._cancelled |= dict.fromkeys(job_ids)
        for job_id in list(self._cancelled)[: max(0, len(self._cancelled) - CANCELLED_MAX)]:
            del self._cancelled[job_id]

    def _let_go(self, job: AcceptedJob) -> None:
        """Tell of a dispatch that leaves the queue because it was cancelled there."""
        if job.job_id in self._cancelled:
            del self._cancelled[job.job_id]
            self._context.outcomes.ended(job, Status.CANCELLED)

    def _fits(self, waiting: WaitingJob, budget: dict[str, int]) -> bool:
        """Whether this dispatch can be claimed in this round; counts what it lets through."""
        job, partition = waiting.queued.job, waiting.record.partition
        if not self._may_claim_on(partition):
            return False
        if self._folds.fold(partition).is_behind(job.origin, job.n):
            # Its lane waits for the ledger: passed by now, it would be committed past and never run.
            return False
        if self._limiter is not None and not self._limiter.may_begin(job, waiting.limits):
            return False
        if not self._has_room(job.type, budget):
            return False
        return self._limiter is None or self._limiter.take(waiting.limits)

    def _has_room(self, type_: str, budget: dict[str, int]) -> bool:
        """Whether one more of its type may run here at once; counts what it lets through."""
        policy = self._workers.policies.get(type_)
        if policy is None or policy.concurrency is None:
            return True
        if type_ not in budget:
            budget[type_] = policy.concurrency - self._held.count_type(type_)
        budget[type_] -= 1
        return budget[type_] >= 0

    def _verdict(self, waiting: WaitingJob, executor: str) -> Claimed | Expired | None:
        """Say what to append for a dispatch; None when its claim could not hold any more.

        A repeated hand-over puts a dispatch into the topic twice: what is held here already is not
        claimed again, though the fold may not have read the first claim yet.
        """
        job, record = waiting.queued.job, waiting.record
        fold = self._folds.fold(record.partition)
        is_held = self._held.get(dispatch_key(job.origin, job.n)) is not None
        if is_held or not fold.may_claim(job.origin, job.job_id, job.n):
            return None
        expired = job.expires_at_ms is not None and job.expires_at_ms <= self._context.now_ms()
        if expired and job.n == 1:
            return Expired(job.origin, job.job_id)
        self._seq += 1
        return Claimed(
            job.origin,
            job.job_id,
            job.n,
            executor,
            record.topic,
            record.partition,
            record.offset,
            attempt=job.attempt,
            seq=self._seq,
        )
