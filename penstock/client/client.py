"""The asynchronous client."""

import asyncio
import getpass
import math
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from typing_extensions import Unpack

from penstock.client.cancelling import RATE_PER_S, Canceller, JobName, id_of
from penstock.client.filters import JobFilter
from penstock.client.link import KafkaLink
from penstock.client.rejections import RejectionWatch
from penstock.client.room import BUFFER_MAX_BYTES, OnFull, Room
from penstock.client.rows import CancelReport, JobRow, LogLine, SubmittedRef
from penstock.client.sending import YIELD_EVERY, send
from penstock.client.submission import (
    RECORD_MAX_BYTES,
    EncodedJob,
    Job,
    JobOptions,
    encode_job,
)
from penstock.client.table import StateTable
from penstock.client.throttle import Throttle
from penstock.client.waiting import Waiter
from penstock.client.workflow import Workflow
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from penstock.errors import JobFailed

NO_PAYLOAD: dict[str, Any] = {}


class Client:
    """Submits jobs and asks about them; ``async with Client() as client``.

    Connects to Kafka and to Postgres when a call first needs them: a program that only submits
    needs no database. Made and used in one event loop; safe for any number of tasks in it.
    An instance belongs to one incarnation of the topics: make a new one after they were recreated.

    Parameters
    ----------
    kafka, database, names
        Where the pipeline is; None takes ``PENSTOCK_*`` from the environment.
    timeout_s
        How long a submit goes without any acknowledgement before it gives up.
    record_max_bytes
        Largest record the pipeline is configured to take.
    buffer_max_bytes
        Most bytes of records kept in memory until Kafka has acknowledged them, over all submits under
        way. A single submit larger than that goes alone.
    on_full
        What a submit does without room: wait for it, or raise ``Backpressure``.
    throttle_k
        None throttles nothing. Else, once Kafka acknowledges less than one in ``throttle_k`` submits (2 is
        usual), a growing share of them raises ``Throttled`` without being sent.
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
        kafka = kafka or KafkaConnection()
        self._prefix = (names or PipelineNames()).topic_prefix
        self._timeout_s = timeout_s
        self._record_max_bytes = record_max_bytes
        self._link = KafkaLink(kafka, self._prefix)
        self._room = Room(buffer_max_bytes, on_full)
        self._throttle = Throttle(throttle_k)
        self._table = StateTable(database or DatabaseConnection())
        self._rejections = RejectionWatch(kafka, f"{self._prefix}jobs.rejected")
        self._waiter = Waiter(self._table, self._rejections)
        self._canceller = Canceller(self._link, self._table, f"{self._prefix}jobs.events", timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is queued, for some seconds at most, and disconnect."""
        await self._rejections.close()
        await self._table.close()
        await self._link.close()

    async def submit(
        self,
        type: str,  # noqa: A002 - the name of the field in the public contract
        payload: Any = NO_PAYLOAD,
        **options: Unpack[JobOptions],
    ) -> SubmittedRef:
        """Append one job and give its id once Kafka has acknowledged the record.

        Not promised: that the job is valid; ``wait`` says if the pipeline refused it. Concurrent
        calls share batches.

        Raises
        ------
        InvalidJob
            It cannot be written as a record; nothing was sent.
        NotConnected, NotSent
            It is not in the log; repeating is safe. ``Backpressure``, a ``NotSent``, says that the buffer
            is full (see ``on_full``), and ``Throttled`` that too little is acknowledged (see ``throttle_k``).
        SubmitUnknown
            It may be in the log or not: only with an ``idempotency_key`` is repeating safe.
        """
        job = encode_job({"type": type, "payload": payload, **options}, self._record_max_bytes)
        with self._throttle.asked():
            return (await send(self._link, self._room, [job], self._timeout_s))[0]

    async def submit_many(self, jobs: Iterable[Job]) -> list[SubmittedRef]:
        """Append many jobs, spread over the partitions in batches; give their ids in the same order.

        All are encoded before the first is sent, so ``InvalidJob`` means that nothing was sent, and the
        call needs memory for all: give a few ten thousand at a time.

        Raises
        ------
        InvalidJob, NotConnected, NotSent
            As for ``submit``, about all of them.
        Unacknowledged
            A ``SubmitUnknown`` whose ``refs`` holds what was acknowledged.
        """
        encoded: list[EncodedJob] = []
        for job in jobs:
            encoded.append(encode_job(job, self._record_max_bytes))
            if len(encoded) % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        with self._throttle.asked():
            return await send(self._link, self._room, encoded, self._timeout_s)

    async def submit_workflow(self, workflow: Workflow) -> list[SubmittedRef]:
        """Append all jobs of a workflow, parents first; give their ids in that order.

        Submitting it again, also after an error, adds nothing that is there already.

        Raises
        ------
        InvalidJob, NotConnected, NotSent, Unacknowledged
            As for ``submit_many``.
        """
        return await self.submit_many(workflow.jobs())

    async def get(self, job: str | uuid.UUID | SubmittedRef) -> JobRow | None:
        """Give the job's row, or None when there is none (yet: the table follows the log)."""
        job_id = id_of(job)
        return (await self._table.rows([job_id])).get(job_id)

    async def wait(self, job: str | uuid.UUID | SubmittedRef, timeout_s: float | None = None) -> JobRow:
        """Wait until the job has ended and give its row, whatever its end.

        Parameters
        ----------
        job
            A reference also finds out that the record was refused; of a bare id nobody can tell.
        timeout_s
            None waits for ever.

        Raises
        ------
        JobRejected
            The record is no valid job.
        WaitTimeout
            The job goes on.
        """
        return (await self.wait_all([job], timeout_s))[0]

    async def wait_all(
        self, jobs: Sequence[str | uuid.UUID | SubmittedRef], timeout_s: float | None = None
    ) -> list[JobRow]:
        """Wait until all jobs have ended, as ``wait``; one query a round for all of them."""
        refs = [job for job in jobs if isinstance(job, SubmittedRef)]
        job_ids = [id_of(job) for job in jobs]
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        rows = await self._waiter.ended(job_ids, refs, until)
        return [rows[job_id] for job_id in job_ids]

    async def result(self, job: str | uuid.UUID | SubmittedRef, timeout_s: float | None = None) -> Any:
        """Wait for the job and give what its task returned.

        Raises
        ------
        JobFailed
            It ended in another state than ``succeeded``.
        JobRejected, WaitTimeout
            As for ``wait``.
        """
        row = await self.wait(job, timeout_s)
        if row.state != "succeeded":
            raise JobFailed(row.job_id, row.state, cause=row.error_class, message=row.error_message or "")
        return row.result

    async def cancel(self, job: JobName, *, reason: str = "", by: str | None = None) -> None:
        """Ask for the end of a job: once this returns, no further attempt of it starts.

        A job nobody has claimed is ``cancelled`` by it; a running one is asked to stop, its worker is
        killed when it does not, and it may still succeed before that. Of a job that has ended, or that
        never was, it changes nothing; one that has not arrived yet never starts if it arrives within 24
        hours. Longer than that nobody remembers an id of which there is no job.

        Raises
        ------
        CancelUnknown
            No acknowledgement; repeating is harmless.
        """
        await self._canceller.cancel_named([job], by=by or _whoami(), reason=reason)

    async def cancel_many(self, jobs: Iterable[JobName], *, reason: str = "", by: str | None = None) -> None:
        """Ask for the end of several jobs, as ``cancel``, in one go: a few thousand at a time."""
        await self._canceller.cancel_named(jobs, by=by or _whoami(), reason=reason)

    async def cancel_matching(
        self,
        wanted: JobFilter,
        *,
        reason: str = "",
        by: str | None = None,
        rate_per_s: float = RATE_PER_S,
        progress: Callable[[CancelReport], None] | None = None,
    ) -> CancelReport:
        """Ask for the end of all open jobs that the table shows and the filter names, oldest first.

        Jobs that the table does not show yet are not asked: repeat it until it asks nobody.

        Parameters
        ----------
        rate_per_s
            At most so many a second; 0 for as fast as Kafka takes them.
        progress
            Called with the report after every portion, in the client's thread.

        Raises
        ------
        CancelUnknown
            Its ``report`` says who was asked before; repeating is harmless.
        """
        return await self._canceller.cancel_matching(
            wanted, by=by or _whoami(), reason=reason, rate_per_s=rate_per_s, progress=progress
        )

    async def count_matching(self, wanted: JobFilter) -> dict[str, int]:
        """Count the open jobs that the filter names, by state."""
        return (await self._table.matching(wanted)).by_state

    async def settled(self, job_ids: Sequence[str], timeout_s: float | None = None) -> dict[str, int]:
        """Wait until all jobs have ended, or the time is over, and count them by state."""
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        states = await self._waiter.states(job_ids, until)
        return dict(Counter(states.values()))

    async def logs(self, job: str | uuid.UUID | SubmittedRef) -> list[LogLine]:
        """Give what the job's tasks logged so far."""
        return await self._table.logs(id_of(job))


def _whoami() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        # A user id without an entry in the password file, as in many containers.
        return f"client@{socket.gethostname()}"
