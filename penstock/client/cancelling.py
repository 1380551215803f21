"""Cancels: one append at the job's home each, a single one or all that meet a filter."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import psycopg
from aiokafka.errors import KafkaError

from penstock.client.errors import CancelUnknown, NotConnected
from penstock.client.events import cancel_record
from penstock.client.filters import JobFilter
from penstock.client.link import KafkaLink, Opened
from penstock.client.rows import CancelReport, JobRow, SubmittedRef
from penstock.client.submission import canonical_id
from penstock.client.table import OpenJob, StateTable

PORTION = 1000
"""Jobs read, cancelled and acknowledged before the next are read: a few hundred kilobytes."""
RATE_PER_S = 2000.0
"""Default pace of bulk cancels: each is a record that every reader of the ledger folds."""

JobName = str | uuid.UUID | SubmittedRef | JobRow


ORIGIN_LIMIT_S = 2.0
"""The table is asked for origins no longer than this: a cancel needs none."""


class Canceller:
    """Appends cancels to the ledger."""

    def __init__(self, link: KafkaLink, table: StateTable, topic: str, timeout_s: float) -> None:
        self._link = link
        self._table = table
        self._topic = topic
        self._timeout_s = timeout_s

    async def cancel_named(self, jobs: Iterable[JobName], *, by: str, reason: str) -> None:
        """Append cancels of jobs, by their origins where these are known or the table tells them soon.

        Raises
        ------
        CancelUnknown, NotConnected
            As ``cancel``.
        """
        named = {id_of(job): origin_of(job) for job in jobs}
        unknown = [job_id for job_id, origin in named.items() if not origin]
        if unknown:
            named |= await self._origins(unknown)
        await self.cancel(list(named.items()), by=by, reason=reason)

    async def _origins(self, job_ids: Sequence[str]) -> dict[str, str]:
        try:
            async with asyncio.timeout(ORIGIN_LIMIT_S):
                return await self._table.origins(job_ids)
        except (NotConnected, psycopg.Error, TimeoutError):
            return {}

    async def cancel(self, jobs: Sequence[tuple[str, str]], *, by: str, reason: str) -> None:
        """Append cancels of jobs given as id and origin (empty when unknown).

        Raises
        ------
        CancelUnknown
            Some are not acknowledged; repeating all is harmless.
        NotConnected
            Nothing was appended.
        """
        opened = await self._link.open()
        try:
            async with asyncio.timeout(self._timeout_s):
                sent = [await self._send(opened, *job, by, reason) for job in jobs]
                await asyncio.gather(*sent)
        except (TimeoutError, KafkaError) as error:
            which = jobs[0][0] if len(jobs) == 1 else f"{len(jobs)} jobs"
            raise CancelUnknown(f"cancel of {which}: {error!r}; repeat it") from error

    async def _send(
        self, opened: Opened, job_id: str, origin: str, by: str, reason: str
    ) -> asyncio.Future[object]:
        record = cancel_record(
            self._topic, opened.epoch.partitions, job_id, origin=origin, by=by, reason=reason
        )
        sent: asyncio.Future[object] = await opened.producer.send(
            record.topic,
            record.value,
            key=record.key,
            partition=record.partition,
            headers=list(record.headers),
        )
        return sent

    async def cancel_matching(
        self,
        wanted: JobFilter,
        *,
        by: str,
        reason: str,
        rate_per_s: float,
        progress: Callable[[CancelReport], None] | None,
    ) -> CancelReport:
        """Cancel what the table shows as open, oldest first, in portions.

        Jobs submitted after the newest one it shows at the beginning are left alone.

        Raises
        ------
        CancelUnknown
            Its ``report`` holds what was asked before.
        NotConnected
            Kafka or Postgres is away.
        """
        report, began_s = CancelReport(), time.monotonic()
        async for portion in _portions(self._table, wanted):
            try:
                await self.cancel([(job.job_id, job.origin) for job in portion], by=by, reason=reason)
            except CancelUnknown as error:
                error.report = report
                raise
            report.job_ids.extend(job.job_id for job in portion)
            report.by_state.update(job.state for job in portion)
            if progress is not None:
                progress(report)
            if rate_per_s > 0:
                ahead_s = report.asked / rate_per_s - (time.monotonic() - began_s)
                await asyncio.sleep(max(0.0, ahead_s))
        return report


async def _portions(table: StateTable, wanted: JobFilter) -> AsyncIterator[list[OpenJob]]:
    newest = (await table.matching(wanted)).newest
    after: OpenJob | None = None
    while portion := await table.open_jobs(wanted, after, newest, PORTION):
        yield portion
        after = portion[-1]


def id_of(job: JobName) -> str:
    """Give the id of a job, whatever it is given as."""
    match job:
        case SubmittedRef() | JobRow():
            return job.job_id
        case _:
            return canonical_id(job)


def origin_of(job: JobName) -> str:
    """Give the origin of the job, empty when unknown: a repeat's own record is not the job's origin."""
    match job:
        case JobRow():
            return str(job.origin or "")
        case SubmittedRef() if job.is_named_by_origin:
            return str(job.origin)
        case _:
            return ""
