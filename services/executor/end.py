"""End dispatches: data first (``jobs.dlq``, jobs the task added), then the one verdict that names it."""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from core.learning.events import Status
from core.learning.preemption import Way
from core.ledger.verdicts import Failed, Succeeded
from core.log import NewRecord
from penstock.worker.frames import JobOutcome
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from schemas.codec import ledger_record
from schemas.routing import failed_record
from services.executor.context import ExecutorContext
from services.executor.decide import Closing, blame_lease, call_ended_well, close, end_of, leaning
from services.executor.held import Held, HeldJob, Stage
from services.executor.leased import Leased
from services.executor.report import Reporter
from services.executor.spawn import SpawnRefusedError, refused_outcome, spawned_records
from services.executor.workers.pool import WorkerPool

logger = logging.getLogger(__name__)

_WAYS = frozenset(Way)
"""Bounds what a label may be."""


class Closer:
    """Turns outcomes of the workers into closures in the ledger."""

    def __init__(
        self,
        context: ExecutorContext,
        held: Held,
        leased: Leased,
        workers: WorkerPool,
        reporter: Reporter,
    ) -> None:
        self._context = context
        self._held = held
        self._leased = leased
        self._workers = workers
        self._reporter = reporter
        self._under_way: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        """Set when the pool has stopped and every outcome was taken."""
        self.failed = asyncio.Event()
        """Set when a closure could not be appended: the process must end, the keeper takes over."""

    async def run(self, freed: Callable[[], None]) -> None:
        """Close what ends until the pool has stopped; ``freed`` is called when slots are free again.

        Appends of one batch do not hold up the next: the appender merges them.
        """
        while outcomes := await self._workers.outcomes():
            freed()
            task = asyncio.create_task(self._close(outcomes))
            self._under_way.add(task)
            task.add_done_callback(self._finished)
        self.ended.set()

    async def settle(self) -> None:
        """Wait until every closure under way is in the log."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a closure could not be appended", exc_info=task.exception())
            self.failed.set()

    async def _close(self, outcomes: list[JobOutcome]) -> None:
        executor = self._leased.boot_id
        ended: list[tuple[HeldJob, Closing]] = []
        added: list[NewRecord] = []
        for outcome in outcomes:
            held = self._held.get(outcome.key)
            if held is None:
                # Dropped by a lapse, or declared lost: a success may still end the job.
                continue
            held.stage = Stage.CLOSING
            checked, records = await self._added(held, outcome)
            added.extend(records)
            closing = close(
                held.job,
                blame_lease(checked, lease_holds=self._leased.holds),
                self._workers.policies.get(held.job.type),
                executor=executor,
                started_ms=held.started_ms,
                now_ms=self._context.now_ms(),
            )
            ended.append((held, closing))
            self._measure(held, checked, closing)
        await self._append(ended, added)

    async def _added(self, held: HeldJob, outcome: JobOutcome) -> tuple[JobOutcome, list[NewRecord]]:
        """Give the jobs an attempt added; the attempt has failed when one of them is none."""
        if not outcome.spawned:
            return outcome, []
        try:
            # Ten thousand of them take a second to check.
            records = await asyncio.to_thread(
                spawned_records, self._context.routes, held.job, outcome.spawned
            )
        except SpawnRefusedError as error:
            return refused_outcome(outcome, error), []
        return outcome, records

    async def _append(self, ended: list[tuple[HeldJob, Closing]], added: list[NewRecord]) -> None:
        failures = [(held, closing) for held, closing in ended if closing.failed is not None]
        records = [self._dlq_record(closing) for _, closing in failures]
        reached(Failpoint.TASK_ENDED, when=ended)
        places = await self._context.appender.append(records)
        reached(Failpoint.FAILURE_APPENDED, when=records)
        await self._context.appender.append(added)
        reached(Failpoint.SPAWNED_APPENDED, when=added)
        offsets = {held.key: place.offset for (held, _), place in zip(failures, places, strict=True)}
        verdicts: list[NewRecord] = []
        for held, closing in ended:
            verdict = closing.verdict
            if isinstance(verdict, Failed):
                verdict = msgspec.structs.replace(verdict, dlq_offset=offsets[held.key])
            verdicts.append(ledger_record(self._context.routes, verdict))
        await self._context.appender.append(verdicts)
        reached(Failpoint.CLOSURE_APPENDED, when=verdicts)
        for held, _ in ended:
            if self._held.get(held.key) is held:
                self._held.remove(held.key)

    def _tell_call(self, held: HeldJob, closing: Closing, status: Status) -> None:
        ok = call_ended_well(closing)
        if ok is not None and status is not Status.CANCELLED:
            policy = self._workers.policies.get(held.job.type)
            self._context.outcomes.called(leaning(held.job, policy), held.job.tenant, ok=ok)

    def _dlq_record(self, closing: Closing) -> NewRecord:
        assert closing.failed is not None
        return failed_record(self._context.routes, closing.failed, b"FAILED")

    def _measure(self, held: HeldJob, outcome: JobOutcome, closing: Closing) -> None:
        match closing.verdict:
            case Succeeded():
                result = "succeeded"
                if held.job.deadline_ms is not None:
                    kept = self._context.now_ms() <= held.job.deadline_ms
                    self._context.meter.count(Metric.DEADLINES, outcome="met" if kept else "missed")
            case Failed():
                result = closing.verdict.error_class
            case _:
                result = "released"
        self._context.meter.observe(Metric.RUN, outcome.run_s, pool=self._context.pool, outcome=result)
        self._reporter.ended(held.job)
        if (ended := end_of(outcome, closing, cancel_sent=held.cancel_sent)) is not None:
            self._context.outcomes.ended(held.job, *ended)
            status, run_ms = ended
            self._tell_call(held, closing, status)
            if held.queued.predicted is not None and status is not Status.CANCELLED:
                self._context.outcomes.ran(held.queued.predicted, run_ms)
            if held.queued.way in _WAYS and status is not Status.CANCELLED:
                outcome_label = "succeeded" if status is Status.OK else "failed"
                self._context.meter.count(Metric.FORESEEN_ENDS, way=held.queued.way, outcome=outcome_label)
        if result not in ("succeeded", "released"):
            logger.info(
                "attempt failed: %s",
                outcome.error_type,
                extra={
                    "job_id": held.job.job_id,
                    "attempt": held.job.attempt,
                    "trace_id": held.job.trace_id,
                    "error_class": result,
                },
            )
