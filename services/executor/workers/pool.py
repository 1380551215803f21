"""The pool of worker processes, as the executor's steps use it."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence

from typing_extensions import override

from penstock.errors import PenstockError
from penstock.worker.frames import JobNote, JobOutcome, StartJob, TaskPolicy
from services.executor.workers.blame import (
    Cause,
    Death,
    Victim,
    never_ran,
    outcome_of,
    returned,
    unknown_task,
)
from services.executor.workers.deadlines import DeadlineWatch, patience
from services.executor.workers.lease import WorkerLease
from services.executor.workers.options import PoolOptions, UnknownType
from services.executor.workers.process import Listener, WorkerProcess, WorkerStartError

logger = logging.getLogger(__name__)

_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 10.0
_SOUND_AFTER_S = 30.0
"""A worker that lived this long starts the next one's backoff afresh."""

_MEMORY_EVERY_S = 1.0
_LEAVE_S = 2.0
_NOTES_MAX = 10_000
"""Notes kept for a reader that lags, 10 MiB at the worst of one full line each; older ones go first."""


class WorkerPool(Listener):
    """Runs attempts in worker processes and restarts those that end.

    Every submitted job yields exactly one outcome, except those ``kill_all`` names as dropped. No call
    waits for a worker's code, so the service's loop stays free whatever handlers do. One reader for
    ``outcomes`` and one for ``notes``; all calls from one event loop, whose thread must outlive the pool.
    """

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._workers: dict[int, WorkerProcess] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._deadlines = DeadlineWatch(self._workers.values, options.timeout_grace_s)
        self._where: dict[str, WorkerProcess | None] = {}
        self._backlog: deque[StartJob] = deque()
        self._limited: Counter[str] = Counter()
        self._outcomes: list[JobOutcome] = []
        self._notes: deque[JobNote] = deque(maxlen=_NOTES_MAX)
        self._outcome_news = asyncio.Event()
        self._note_news = asyncio.Event()
        self._idle = asyncio.Event()
        self._dropped: list[str] = []
        self._lease = WorkerLease()
        self.is_stopping = False
        self._is_stopped = False
        self.policies: dict[str, TaskPolicy] = {}
        self.deaths: Counter[Cause] = Counter()

    async def start(self) -> None:
        """Start the workers and wait until all of them take jobs.

        Raises
        ------
        AppImportError
            The app cannot be imported; the message holds the traceback and the remedy. Stop the service.
        WorkerStartError
            A worker ended or was too slow at its start.
        """
        first: list[asyncio.Future[None]] = [self._loop.create_future() for _ in range(self._options.workers)]
        self._tasks = [self._loop.create_task(self._keep(index, one)) for index, one in enumerate(first)]
        self._tasks.append(self._loop.create_task(self._watch_memory()))
        try:
            await asyncio.gather(*first)
        except PenstockError:
            await self.stop(0.0)
            raise

    async def stop(self, grace_s: float) -> None:
        """Let running jobs end for up to ``grace_s`` seconds, then end all workers.

        Jobs that did not end, or never started, get an outcome with ``collateral`` set: give them back.
        Outcomes stay readable afterwards. Submitting after this is an error.
        """
        self.is_stopping = True
        self._deliver([returned(job.key) for job in self._backlog])
        self._backlog.clear()
        await self._until_idle(grace_s)
        self._deadlines.close()
        workers = list(self._workers.values())
        for worker in workers:
            if worker.jobs or not worker.is_ready:
                worker.kill(Death(Cause.STOPPED))
            else:
                worker.leave()
        await self._until_gone(workers)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A worker that a keeper had just started stands in the table by now.
        rest = [worker for worker in self._workers.values() if worker not in workers]
        for worker in rest:
            worker.kill(Death(Cause.STOPPED))
        await self._until_gone(rest)
        self._is_stopped = True
        self._outcome_news.set()
        self._note_news.set()

    @property
    def free_slots(self) -> int:
        """Jobs that could start at once; less than nothing waits is never given."""
        free = sum(worker.free for worker in self._workers.values())
        return max(0, free - len(self._backlog))

    @property
    def open_jobs(self) -> int:
        """Jobs submitted whose outcome is not known yet."""
        return len(self._where)

    @property
    def pids(self) -> list[int]:
        """Process ids of the live workers."""
        return [worker.pid for worker in self._workers.values()]

    def free_for(self, task_type: str) -> bool:
        """Whether a job of this type would start at once: a free slot, and below the type's limit."""
        return self.free_slots > 0 and self._below_limit(task_type)

    def submit(self, jobs: Sequence[StartJob]) -> None:
        """Hand over jobs; their timeouts start now, or when a worker is free for them.

        Always accepted: a worker may have died since the slots were counted; then they wait.

        Raises
        ------
        ValueError
            A key is already open, or the pool stops; nothing of the call was taken.
        """
        if self.is_stopping:
            raise ValueError("the pool stops; give the jobs back")
        repeated = [job.key for job in jobs if job.key in self._where]
        if repeated or len({job.key for job in jobs}) != len(jobs):
            raise ValueError(f"already running: {repeated or 'a key twice in one call'}")
        self._place(jobs)

    def cancel(self, key: str) -> None:
        """Ask a job to stop, and kill its worker when it does not (``patience``).

        Unknown and ended jobs are ignored; one that had not started ends at once.
        """
        worker = self._where.get(key)
        if worker is not None:
            policy = self.policies.get(worker.jobs[key].job.type)
            self._deadlines.cancel(worker, key, patience(policy, self._options))
            return
        for job in [job for job in self._backlog if job.key == key]:
            self._backlog.remove(job)
            message = "the job was cancelled before it started"
            self._deliver([never_ran(key, "permanent", "Cancelled", message)])

    def renew_lease(self, until_s: float) -> None:
        """Let the workers live until this second of CLOCK_BOOTTIME; a time that is past kills them now.

        Without a further call the kernel kills them then. Before the first call, and after ``kill_all``,
        workers have no lease to end.
        """
        self._lease.renew(until_s)
        for worker in self._workers.values():
            worker.renew_lease(until_s)

    async def kill_all(self) -> list[str]:
        """Kill every worker and return when they are gone, with the keys of the jobs dropped.

        Dropped jobs yield no outcome. Outcomes of jobs that had ended before stay readable. New workers
        start by themselves, without a lease.
        """
        self._lease.end()
        workers = list(self._workers.values())
        self._dropped.extend(job.key for job in self._backlog)
        for job in self._backlog:
            self._where.pop(job.key, None)
        self._backlog.clear()
        for worker in workers:
            worker.kill(Death(Cause.LAPSED))
        await asyncio.gather(*(worker.gone() for worker in workers))
        dropped, self._dropped = self._dropped, []
        return dropped

    async def outcomes(self) -> list[JobOutcome]:
        """Wait for outcomes and give all there are; empty only when the pool has stopped."""
        await self._outcome_news.wait()
        taken, self._outcomes = self._outcomes, []
        if not self._is_stopped:
            self._outcome_news.clear()
        return taken

    async def notes(self) -> list[JobNote]:
        """Wait for logs and progress and give all there are; empty only when the pool has stopped.

        Not promised: every note of a reader that lags far behind, nor the last of a killed worker.
        """
        await self._note_news.wait()
        taken = list(self._notes)
        self._notes.clear()
        if not self._is_stopped:
            self._note_news.clear()
        return taken

    @override
    def on_ended(self, worker: WorkerProcess, outcomes: Sequence[JobOutcome]) -> None:
        """Take outcomes from a worker."""
        known = [outcome for outcome in outcomes if outcome.key in worker.jobs]
        for outcome in known:
            self._release(worker.jobs.pop(outcome.key).job)
        self._deliver(known)
        self._place_backlog()

    @override
    def on_notes(self, notes: Sequence[JobNote]) -> None:
        """Take notes from a worker."""
        self._notes.extend(notes)
        self._note_news.set()

    @override
    def on_dead(self, worker: WorkerProcess, death: Death) -> None:
        """Give an outcome to every job that was in a dead worker."""
        self.deaths[death.cause] += 1
        now_s = self._loop.time()
        cohort = len(worker.jobs)
        victims = [Victim(key, now_s - one.started_s, one.job.timeout_s) for key, one in worker.jobs.items()]
        for one in worker.jobs.values():
            self._release(one.job)
        worker.jobs.clear()
        if death.cause is Cause.LAPSED:
            for victim in victims:
                self._where.pop(victim.key, None)
            self._dropped.extend(victim.key for victim in victims)
            self._note_idle()
        else:
            self._deliver([outcome_of(death, victim, cohort) for victim in victims])
        self._place_backlog()

    def _place(self, jobs: Sequence[StartJob]) -> None:
        now_s = self._loop.time()
        batches: dict[WorkerProcess, list[StartJob]] = {}
        for job in jobs:
            if job.type not in self.policies:
                self._deliver([self._unknown(job)])
                continue
            worker = self._worker_for(job.type, batches)
            self._where[job.key] = worker
            if worker is None:
                self._backlog.append(job)
            else:
                self._hold(job)
                batches.setdefault(worker, []).append(job)
        for worker, batch in batches.items():
            worker.run(batch, now_s)
            self._deadlines.expect(now_s + min(job.timeout_s for job in batch))

    def _place_backlog(self) -> None:
        if not self._backlog or self.is_stopping or not any(worker.free for worker in self._workers.values()):
            return
        waiting = list(self._backlog)
        self._backlog.clear()
        self._place(waiting)

    def _worker_for(
        self, task_type: str, batches: dict[WorkerProcess, list[StartJob]]
    ) -> WorkerProcess | None:
        """Give the worker with most free slots, None when no job of this type can start."""
        if not self._below_limit(task_type):
            return None
        best, most = None, 0
        for worker in self._workers.values():
            batch = batches.get(worker)
            free = worker.free if batch is None else worker.free - len(batch)
            if free > most:
                best, most = worker, free
        return best

    def _below_limit(self, task_type: str) -> bool:
        policy = self.policies.get(task_type)
        return policy is None or policy.concurrency is None or self._limited[task_type] < policy.concurrency

    def _hold(self, job: StartJob) -> None:
        if self.policies[job.type].concurrency is not None:
            self._limited[job.type] += 1

    def _release(self, job: StartJob) -> None:
        if self._limited[job.type]:
            self._limited[job.type] -= 1

    def _deliver(self, outcomes: Sequence[JobOutcome]) -> None:
        if not outcomes:
            return
        for outcome in outcomes:
            self._where.pop(outcome.key, None)
        self._outcomes.extend(outcomes)
        self._outcome_news.set()
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._where:
            self._idle.set()

    def _unknown(self, job: StartJob) -> JobOutcome:
        message = unknown_task(job.type, self._options.app, self.policies)
        match self._options.unknown_type:
            case UnknownType.PERMANENT:
                return never_ran(job.key, "permanent", "UnknownTask", message)
            case UnknownType.TRANSIENT:
                return never_ran(job.key, "transient", "UnknownTask", message)

    async def _keep(self, index: int, first: asyncio.Future[None]) -> None:
        """Keep one worker alive until the pool stops; ``first`` tells how its first start went."""
        backoff_s = _BACKOFF_MIN_S
        while not self.is_stopping:
            began_s = self._loop.time()
            await self._live(index, first)
            if self._loop.time() - began_s > _SOUND_AFTER_S:
                backoff_s = _BACKOFF_MIN_S
            if not self.is_stopping:
                logger.warning("worker %d ended; starting another in %.1f s", index, backoff_s)
                await asyncio.sleep(backoff_s)
            backoff_s = min(_BACKOFF_MAX_S, backoff_s * 2)

    async def _live(self, index: int, first: asyncio.Future[None]) -> None:
        """Start one worker and wait until it is gone.

        It gets its lease as soon as it could get jobs, so no job is before the lease in the pipe.
        """
        await self._lease.settled()
        worker = WorkerProcess(self._options, self)
        try:
            await worker.start()
        except OSError as error:
            if not first.done():
                first.set_exception(WorkerStartError(f"no process can be started: {error}"))
            logger.exception("no worker process can be started")
            return
        self._workers[index] = worker
        if self._lease.until_s is not None:
            worker.renew_lease(self._lease.until_s)
        await self._await_ready(worker, first)
        await worker.gone()

    async def _await_ready(self, worker: WorkerProcess, first: asyncio.Future[None]) -> None:
        try:
            policies = await worker.ready()
        except PenstockError as error:
            worker.kill(Death(Cause.DIED))
            if not first.done():
                first.set_exception(error)
            elif not self.is_stopping:
                logger.error("a worker could not be started again: %s", error)  # noqa: TRY400 - told whole
            return
        self.policies = {policy.type: policy for policy in policies}
        if not first.done():
            first.set_result(None)
        self._place_backlog()

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(_MEMORY_EVERY_S)
            for worker in self._workers.values():
                rss_bytes = worker.rss_bytes()
                if rss_bytes > self._options.memory_limit_bytes:
                    worker.kill(Death(Cause.MEMORY, rss_bytes=rss_bytes))

    async def _until_idle(self, grace_s: float) -> None:
        if not self._where:
            return
        self._idle.clear()
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d jobs did not end within %.0f s; giving them back", len(self._where), grace_s)

    async def _until_gone(self, workers: Sequence[WorkerProcess]) -> None:
        """Wait for workers to end; those that take longer than ``_LEAVE_S`` are killed."""
        everyone = asyncio.gather(*(worker.gone() for worker in workers))
        try:
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.shield(everyone)
        except TimeoutError:
            for worker in workers:
                worker.kill(Death(Cause.STOPPED))
            await everyone
