"""Running a task's handler in a test: no Kafka, no process, the same payload and result rules."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from penstock.context import CancelReason, Context, LogLine
from penstock.durations import Duration, seconds
from penstock.errors import ErrorClass, TaskDefinitionError, TaskTimeout
from penstock.relatives import ParentResults
from penstock.task import Handler, Registry, Task, default_registry, register_function
from penstock.worker.calls import dump_result, failure, load_payload

RESULT_MAX_BYTES = 64 * 1024
"""The workers' own default."""

_NOT_DECLARED = "undeclared"
_GIVE_UP_S = 1.0


@dataclass
class TaskRun:
    """What a handler did.

    Attributes
    ----------
    result
        The return value after a round trip through JSON, as the table would show it.
    error
        The exception the attempt ended in, None when it succeeded.
    error_class
        How the pipeline would treat it, None when it succeeded.
    progress
        Every (fraction, message) said, in order.
    spawned
        The jobs added with ``ctx.spawn``, as they would be submitted; none of an attempt that failed.
    """

    result: Any = None
    error: BaseException | None = None
    error_class: ErrorClass | None = None
    message: str = ""
    retry_after_s: float | None = None
    logs: list[LogLine] = field(default_factory=list)
    progress: list[tuple[float, str]] = field(default_factory=list)
    spawned: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the attempt succeeded."""
        return self.error is None

    def add_log(self, context: Context, line: LogLine) -> None:  # noqa: ARG002 - one job, so no context
        """Take one line (the handler's side)."""
        self.logs.append(line)

    def add_progress(self, context: Context, fraction: float, message: str) -> None:  # noqa: ARG002
        """Take progress (the handler's side)."""
        self.progress.append((fraction, message))


def run_task(
    handler: Handler | str,
    payload: object = None,
    *,
    registry: Registry = default_registry,
    timeout: Duration | None = None,
    result_max_bytes: int = RESULT_MAX_BYTES,
    job_id: str | None = None,
    tenant: str = "default",
    attempt: int = 1,
    dispatch: int | None = None,
    deadline: datetime | None = None,
    labels: dict[str, str] | None = None,
    workflow_id: str | None = None,
    parents: Mapping[str, Any] | None = None,
    cancelled: bool = False,
) -> TaskRun:
    """Run one attempt and give what it did; callable from sync and from async tests.

    The handler runs on a thread of its own, so a test inside a running loop waits like for any sync call.

    Parameters
    ----------
    handler
        The function, declared or not, or the type of a declared task.
    payload
        JSON-like value; None means ``{}``.
    timeout
        Limit of the attempt; default the task's own. A sync handler gets a second more to leave.
    parents
        What its parents returned, by job id or name.
    cancelled
        Whether the job is cancelled from the start.

    Raises
    ------
    TaskDefinitionError
        No such task.
    """
    task = _found(handler, registry)
    run = TaskRun()
    context = Context(
        run,
        key="test/1",
        job_id=job_id or str(uuid.uuid4()),
        type=task.type,
        tenant=tenant,
        attempt=attempt,
        dispatch=attempt if dispatch is None else dispatch,
        deadline_ms=None if deadline is None else round(deadline.timestamp() * 1000),
        labels=labels or {},
        workflow_id=workflow_id,
        parents=_results(parents, tenant, workflow_id),
    )
    if cancelled:
        context.request_cancel(CancelReason.CANCEL)
    limit_s = task.timeout_s if timeout is None else seconds(timeout, "timeout")
    raw = msgspec.json.encode({} if payload is None else payload)
    _attempt(task, context, raw, run, limit_s=limit_s, result_max_bytes=result_max_bytes)
    return run


def _results(parents: Mapping[str, Any] | None, tenant: str, workflow_id: str | None) -> ParentResults:
    results = {name: msgspec.json.encode(value) for name, value in (parents or {}).items()}
    return ParentResults(results, tenant=tenant, workflow_id=workflow_id)


def _found(handler: Handler | str, registry: Registry) -> Task:
    if isinstance(handler, str):
        task = registry.get(handler)
        if task is None:
            known = ", ".join(one.type for one in registry.tasks()) or "none"
            raise TaskDefinitionError(f"no task {handler!r}; import its module first; known: {known}")
        return task
    return registry.of(handler) or register_function(_NOT_DECLARED, handler, registry=Registry())


def _attempt(
    task: Task, context: Context, raw: bytes, run: TaskRun, *, limit_s: float | None, result_max_bytes: int
) -> None:
    began = time.monotonic()
    try:
        payload = load_payload(task, raw)
        call = _async_call if task.is_async else _sync_call
        value = call(task, context, payload, limit_s)
        run.result = msgspec.json.decode(dump_result(value, result_max_bytes))
        run.spawned = [msgspec.json.decode(record) for record in context.spawned]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome = failure(context.key, error, context, time.monotonic() - began)
        run.error, run.error_class = error, outcome.error_class
        run.message, run.retry_after_s = outcome.message, outcome.retry_after_s
    finally:
        context.close()


def _async_call(task: Task, context: Context, payload: object, limit_s: float | None) -> object:
    async def limited() -> object:
        handle = asyncio.ensure_future(task.function(context, payload))
        _, running = await asyncio.wait({handle}, timeout=limit_s)
        if running:
            context.request_cancel(CancelReason.TIMEOUT)
            handle.cancel()
        return await handle

    return _on_thread(lambda: asyncio.run(limited()), None, context)


def _sync_call(task: Task, context: Context, payload: object, limit_s: float | None) -> object:
    return _on_thread(lambda: task.function(context, payload), limit_s, context)


def _on_thread(call: Callable[[], object], limit_s: float | None, context: Context) -> object:
    """Give what the call returns or raises; flag it at the limit and give it up a second later."""
    returned: list[object] = []
    raised: list[BaseException] = []

    def target() -> None:
        try:
            returned.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=target, name="run_task", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        context.request_cancel(CancelReason.TIMEOUT)
        thread.join(_GIVE_UP_S)
    if raised:
        raise raised[0]
    if not returned:
        raise TaskTimeout(f"the handler did not end within {limit_s} s; call ctx.raise_if_cancelled() in it")
    return returned[0]
