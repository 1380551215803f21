"""The client for plain code: the asynchronous one on a private event loop in a thread."""

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from typing_extensions import Unpack

from penstock.client.cancelling import RATE_PER_S, JobName
from penstock.client.client import NO_PAYLOAD, Client
from penstock.client.filters import JobFilter
from penstock.client.room import BUFFER_MAX_BYTES, OnFull
from penstock.client.rows import CancelReport, JobRow, LogLine, SubmittedRef
from penstock.client.submission import RECORD_MAX_BYTES, Job, JobOptions
from penstock.client.workflow import Workflow
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames

T = TypeVar("T")


class SyncClient:
    """``Client`` without ``await``; ``with SyncClient() as client``.

    Safe for any number of threads: their submits share batches. Not usable in a child process
    after ``fork``: make a client there. Parameters and errors are those of ``Client``.
    """

    def __init__(
        self,
        *,
        kafka: KafkaConnection | None = None,
        database: DatabaseConnection | None = None,
        names: PipelineNames | None = None,
        timeout_s: float = 30.0,
        record_max_bytes: int = RECORD_MAX_BYTES,
        buffer_max_bytes: int = BUFFER_MAX_BYTES,
        on_full: OnFull = OnFull.WAIT,
        throttle_k: float | None = None,
    ) -> None:
        self._client = Client(
            kafka=kafka,
            database=database,
            names=names,
            timeout_s=timeout_s,
            record_max_bytes=record_max_bytes,
            buffer_max_bytes=buffer_max_bytes,
            on_full=on_full,
            throttle_k=throttle_k,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="penstock-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send what is queued, for some seconds at most, and disconnect; a second call does nothing."""
        if self._loop.is_closed():
            return
        try:
            self._run(self._client.close())
        finally:
            self._run(_wind_up(self._loop))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def submit(
        self,
        type: str,  # noqa: A002 - the name of the field in the public contract
        payload: Any = NO_PAYLOAD,
        **options: Unpack[JobOptions],
    ) -> SubmittedRef:
        """See ``Client.submit``."""
        return self._run(self._client.submit(type, payload, **options))

    def submit_many(self, jobs: Iterable[Job]) -> list[SubmittedRef]:
        """See ``Client.submit_many``; the iterable is read in the client's thread."""
        return self._run(self._client.submit_many(jobs))

    def submit_workflow(self, workflow: Workflow) -> list[SubmittedRef]:
        """See ``Client.submit_workflow``."""
        return self._run(self._client.submit_workflow(workflow))

    def get(self, job: str | uuid.UUID | SubmittedRef) -> JobRow | None:
        """See ``Client.get``."""
        return self._run(self._client.get(job))

    def wait(self, job: str | uuid.UUID | SubmittedRef, timeout_s: float | None = None) -> JobRow:
        """See ``Client.wait``."""
        return self._run(self._client.wait(job, timeout_s))

    def wait_all(
        self, jobs: Sequence[str | uuid.UUID | SubmittedRef], timeout_s: float | None = None
    ) -> list[JobRow]:
        """See ``Client.wait_all``."""
        return self._run(self._client.wait_all(jobs, timeout_s))

    def result(self, job: str | uuid.UUID | SubmittedRef, timeout_s: float | None = None) -> Any:
        """See ``Client.result``."""
        return self._run(self._client.result(job, timeout_s))

    def cancel(self, job: JobName, *, reason: str = "", by: str | None = None) -> None:
        """See ``Client.cancel``."""
        self._run(self._client.cancel(job, reason=reason, by=by))

    def cancel_many(self, jobs: Iterable[JobName], *, reason: str = "", by: str | None = None) -> None:
        """See ``Client.cancel_many``; the iterable is read in the client's thread."""
        self._run(self._client.cancel_many(jobs, reason=reason, by=by))

    def cancel_matching(
        self,
        wanted: JobFilter,
        *,
        reason: str = "",
        by: str | None = None,
        rate_per_s: float = RATE_PER_S,
        progress: Callable[[CancelReport], None] | None = None,
    ) -> CancelReport:
        """See ``Client.cancel_matching``."""
        return self._run(
            self._client.cancel_matching(
                wanted, reason=reason, by=by, rate_per_s=rate_per_s, progress=progress
            )
        )

    def count_matching(self, wanted: JobFilter) -> dict[str, int]:
        """See ``Client.count_matching``."""
        return self._run(self._client.count_matching(wanted))

    def settled(self, job_ids: Sequence[str], timeout_s: float | None = None) -> dict[str, int]:
        """See ``Client.settled``."""
        return self._run(self._client.settled(job_ids, timeout_s))

    def logs(self, job: str | uuid.UUID | SubmittedRef) -> list[LogLine]:
        """See ``Client.logs``."""
        return self._run(self._client.logs(job))

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in the waiting thread ends the call in the other one, too.
            future.cancel()
            raise


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """End what other threads were still waiting for, as ``asyncio.run`` does."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_default_executor()
