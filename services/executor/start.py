"""Start what was claimed, once the claim and the results of the parents were read, to the end known then."""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from core.ledger.verdicts import Released
from core.log import NewRecord
from core.subjects import Subject
from penstock.worker.frames import StartJob, TaskPolicy
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from schemas.codec import ledger_record
from schemas.ledger import LedgerFolds
from services.executor.context import ExecutorContext
from services.executor.decide import Verdict, may_start
from services.executor.follow import ReadClaim
from services.executor.held import Held, HeldJob, Stage
from services.executor.leased import Leased
from services.executor.parents import Parents
from services.executor.workers.pool import WorkerPool

logger = logging.getLogger(__name__)


class StealJudge(Protocol):
    """Learns what becomes of claims."""

    def read_back(self, held: HeldJob, *, holds: bool) -> None:
        """Take in one claim that was read back."""
        ...


class Starter:
    """Hands confirmed claims to the workers; hands back what may not be started any more."""

    def __init__(
        self,
        context: ExecutorContext,
        folds: LedgerFolds,
        held: Held,
        leased: Leased,
        workers: WorkerPool,
        known_end: Callable[[int], int],
        parents: Parents,
    ) -> None:
        self._context = context
        self._folds = folds
        self._held = held
        self._leased = leased
        self._workers = workers
        self._known_end = known_end
        self._parents = parents
        self._confirmed: list[HeldJob] = []
        self.stolen: StealJudge | None = None
        """Who wants to know which claims came too late."""
        self.give_back: Callable[[tuple[Subject, ...]], None] = lambda _subjects: None
        """Takes back the tokens of a claim that did not hold: whoever was first has taken others."""

    def read_back(self, claims: Iterable[ReadClaim]) -> None:
        """Take in claims of this boot id that were read back: they wait for the known end, or are over.

        A claim of a dispatch that was let go and claimed again since is none of these: heartbeats have
        not listed it for a while, so a keeper may be about to declare it lost.
        """
        for key, seq, holds in claims:
            held = self._held.get(key)
            if held is None or held.stage is not Stage.CLAIMING or held.read_back_end >= 0:
                # Not ours any more, or a later copy of a claim that was read back before.
                continue
            if seq != held.claim_seq:
                continue
            self._count(held, "held" if holds else "refused")
            if self.stolen is not None:
                self.stolen.read_back(held, holds=holds)
            if holds:
                held.read_back_end = self._known_end(held.partition)
                self._confirmed.append(held)
                self._parents.ask(held)
            else:
                self._held.remove(key)
                self.give_back(held.limits)

    def start_ready(self) -> list[HeldJob]:
        """Start what has been read far enough; give what must be handed back instead."""
        refused: list[HeldJob] = []
        waiting: list[HeldJob] = []
        starts: list[StartJob] = []
        for held in self._confirmed:
            if self._held.get(held.key) is not held:
                self._parents.drop(held)
            elif self._folds.next_offset(held.partition) < held.read_back_end:
                waiting.append(held)
            elif self._may_start(held) is not Verdict.START:
                self._parents.drop(held)
                refused.append(held)
            elif not self._parents.are_read(held):
                waiting.append(held)
            else:
                starts.append(self._start(held))
        self._confirmed = waiting
        if starts:
            reached(Failpoint.CLAIM_READ_BACK)
            self._workers.submit(starts)
            reached(Failpoint.STARTED)
        return refused

    async def hand_back(self, refused: list[HeldJob], reason: str) -> None:
        """Append RELEASED for claims that will not run here; they use up no attempt."""
        executor = self._leased.boot_id
        outputs: list[NewRecord] = []
        for held in refused:
            held.stage = Stage.CLOSING
            job = held.job
            outputs.append(
                ledger_record(self._context.routes, Released(job.origin, job.job_id, job.n, executor, reason))
            )
        reached(Failpoint.HANDING_BACK, when=outputs)
        await self._context.appender.append(outputs)
        reached(Failpoint.HANDED_BACK, when=outputs)
        for held in refused:
            if self._held.get(held.key) is held:
                self._held.remove(held.key)
            self._count(held, "released")

    def _count(self, held: HeldJob, result: str) -> None:
        self._context.meter.count(
            Metric.CLAIMS, pool=self._context.pool, source=held.source.value, result=result
        )

    def _may_start(self, held: HeldJob) -> Verdict:
        job = held.job
        fold = self._folds.fold(held.partition)
        if self._workers.is_stopping:
            return Verdict.HAND_BACK
        return may_start(
            holds=fold.holds_claim(job.origin, job.n, self._leased.boot_id)
            and not fold.is_cancel_asked(job.origin),
            lease_holds=self._leased.holds,
            claim_age_s=self._context.now_s() - held.claimed_at_s,
            lease_s=self._leased.lease_s,
        )

    def _start(self, held: HeldJob) -> StartJob:
        job = held.job
        held.stage = Stage.RUNNING
        held.started_ms = self._context.now_ms()
        wait_s = max(0.0, (held.started_ms - held.queued.ready_ms) / 1000)
        self._context.meter.observe(
            Metric.WAIT, wait_s, pool=self._context.pool, bucket=str(held.queued.bucket)
        )
        policy = self._workers.policies.get(job.type)
        parents = self._parents.take(held)
        return StartJob(
            key=held.key,
            job_id=job.job_id,
            type=job.type,
            tenant=job.tenant,
            attempt=job.attempt,
            dispatch=job.n,
            deadline_ms=job.deadline_ms,
            labels=job.labels,
            payload=bytes(job.payload),
            timeout_s=timeout_s(job.timeout_s, policy),
            workflow_id=job.workflow_id,
            parents=parents.results,
            parents_omitted=parents.omitted,
        )


def timeout_s(job_timeout_s: float, policy: TaskPolicy | None) -> float:
    """Limit of one attempt: the job's, or the task's own when that is shorter."""
    if policy is None or policy.timeout_s is None:
        return job_timeout_s
    return min(job_timeout_s, policy.timeout_s)
