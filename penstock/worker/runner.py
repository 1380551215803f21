"""Running jobs inside a worker: many at once, async ones on the loop and sync ones on threads."""

import asyncio
import time
from collections import deque
from typing import assert_never

from penstock.context import CancelReason, Context
from penstock.relatives import ParentResults
from penstock.task import Registry, Task
from penstock.worker.calls import dump_result, failure, load_payload
from penstock.worker.frames import Cancel, Ended, JobOutcome, Lease, Notes, Probe, Start, StartJob, Stop
from penstock.worker.notes import NoteBook
from penstock.worker.outbox import Outbox
from penstock.worker.threads import HandlerThreads

_NOTES_EVERY_S = 0.1
"""Lines wait this long for company; well below what a person watching a log notices."""


class Run:
    """One attempt under way."""

    __slots__ = ("context", "handle", "job", "started", "task")

    def __init__(self, job: StartJob, task: Task, context: Context) -> None:
        self.job = job
        self.task = task
        self.context = context
        self.handle: asyncio.Task[None] | None = None
        self.started = False


class Runner:
    """Runs attempts and sends their outcomes and notes; everything but handlers runs on the loop.

    Each started job sends exactly one outcome, unless the process dies first.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, outbox: Outbox, *, slots: int, result_max_bytes: int
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._result_max_bytes = result_max_bytes
        self._registry = Registry()
        self._threads = HandlerThreads(slots, self._run_sync)
        self._runs: dict[str, Run] = {}
        self._ended: deque[JobOutcome] = deque()
        self._flush_due = False
        self._notebook = NoteBook(self._ask_notes)
        self._notes_due = False
        self._left = asyncio.Event()

    def use(self, registry: Registry) -> None:
        """Run the tasks of this registry from now on."""
        self._registry = registry

    async def left(self) -> None:
        """Wait for the executor's word to leave."""
        await self._left.wait()

    def obey(self, command: Start | Cancel | Lease | Probe | Stop) -> None:
        """Do what the executor says; leases and probes were answered where they were read."""
        match command:
            case Start(jobs):
                for job in jobs:
                    self._start(job)
            case Cancel(keys, reason, grace_s):
                for key in keys:
                    self._cancel(key, reason, grace_s)
            case Stop():
                self._left.set()
            case Lease() | Probe():
                pass
            case _:
                assert_never(command)

    def holder(self) -> str | None:
        """Key of the job whose code is on the loop right now; called from another thread."""
        current = asyncio.current_task(self._loop)
        if current is None:
            return None
        return next((key for key, run in list(self._runs.items()) if run.handle is current), None)

    def _start(self, job: StartJob) -> None:
        context = Context(
            self._notebook,
            key=job.key,
            job_id=job.job_id,
            type=job.type,
            tenant=job.tenant,
            attempt=job.attempt,
            dispatch=job.dispatch,
            deadline_ms=job.deadline_ms,
            labels=job.labels,
            workflow_id=job.workflow_id,
            parents=ParentResults(
                job.parents, job.parents_omitted, tenant=job.tenant, workflow_id=job.workflow_id
            ),
        )
        task = self._registry.get(job.type)
        if task is None:
            self._end(job.key, failure(job.key, LookupError(f"no task {job.type!r}"), context, 0.0))
            self._ask_flush()
            return
        run = Run(job, task, context)
        self._runs[job.key] = run
        if task.is_async:
            run.handle = self._loop.create_task(self._run_async(run))
        else:
            self._threads.submit(run)

    async def _run_async(self, run: Run) -> None:
        run.started = True
        began = time.monotonic()
        try:
            payload = load_payload(run.task, run.job.payload)
            value = await run.task.function(run.context, payload)
            outcome = self._succeeded(run, value, began)
        except BaseException as error:  # SystemExit of a handler must not end the worker
            outcome = self._failed(run, error, began)
        self._end(run.job.key, outcome)
        self._ask_flush()

    def _run_sync(self, run: Run) -> None:
        run.started = True
        began = time.monotonic()
        try:
            value = run.task.function(run.context, load_payload(run.task, run.job.payload))
            outcome = self._succeeded(run, value, began)
        except BaseException as error:  # SystemExit of a handler must not end its thread
            outcome = self._failed(run, error, began)
        self._end(run.job.key, outcome)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon_threadsafe(self._flush)

    def _succeeded(self, run: Run, value: object, began: float) -> JobOutcome:
        run_s = time.monotonic() - began
        result = dump_result(value, self._result_max_bytes)
        run.context.close()
        spawned = run.context.spawned
        return JobOutcome(key=run.job.key, ok=True, run_s=run_s, result=result, spawned=spawned)

    def _failed(self, run: Run, error: BaseException, began: float) -> JobOutcome:
        run.context.close()
        return failure(run.job.key, error, run.context, time.monotonic() - began)

    def _end(self, key: str, outcome: JobOutcome) -> None:
        self._runs.pop(key, None)
        self._ended.append(outcome)

    def _cancel(self, key: str, reason: CancelReason, grace_s: float) -> None:
        run = self._runs.get(key)
        if run is None:
            return
        run.context.request_cancel(reason)
        if run.handle is None:
            return
        if grace_s > 0:
            self._loop.call_later(grace_s, self._cancel_handle, run)
        else:
            self._cancel_handle(run)

    def _cancel_handle(self, run: Run) -> None:
        if self._runs.get(run.job.key) is not run or run.handle is None:
            return
        if run.started:
            run.handle.cancel()
        else:
            # A task cancelled before its first step never runs our code, and no outcome would be sent.
            self._loop.call_soon(self._cancel_handle, run)

    def _ask_flush(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        # The flag first: a thread that appends after the last popleft must find it down.
        self._flush_due = False
        if self._notes_due:
            self._send_notes()
        outcomes = []
        while self._ended:
            outcomes.append(self._ended.popleft())
        if outcomes:
            self._outbox.send(Ended(outcomes))

    def _ask_notes(self) -> None:
        if not self._notes_due:
            self._notes_due = True
            self._loop.call_soon_threadsafe(self._loop.call_later, _NOTES_EVERY_S, self._send_notes)

    def _send_notes(self) -> None:
        self._notes_due = False
        notes = self._notebook.take()
        if notes:
            self._outbox.send(Notes(notes))
