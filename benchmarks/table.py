"""What the state table says of the measured jobs, seen as an analyst sees it: by asking."""

from collections.abc import Collection
from types import TracebackType
from typing import LiteralString, NamedTuple, Self

import psycopg

_ENDED = "SELECT job_id::text FROM jobs WHERE job_id = ANY(%s::uuid[]) AND finished_at IS NOT NULL"
_ENDED_OF_TYPE = "SELECT count(*) FROM jobs WHERE type = %s AND finished_at IS NOT NULL"
_OF_TYPE = "SELECT count(*) FROM jobs WHERE type = %s"
_WAITING_OF_TYPE = "SELECT count(*) FROM jobs WHERE type = %s AND state = 'waiting'"
_QUEUED_OF_POOL = "SELECT count(*) FROM jobs WHERE pool = %s AND state = 'queued'"
_TIMES = """
    SELECT j.job_id::text, j.state,
           extract(epoch FROM a.claimed_at)::float8 * 1000,
           extract(epoch FROM j.started_at)::float8 * 1000,
           extract(epoch FROM j.finished_at)::float8 * 1000
    FROM jobs AS j JOIN job_attempts AS a USING (job_id)
    WHERE j.job_id = ANY(%s::uuid[]) AND a.n = 1
"""

_DISPATCHES = """
    SELECT j.job_id::text, j.state, j.dispatch, j.bucket,
           extract(epoch FROM j.queued_at)::float8 * 1000,
           extract(epoch FROM a.claimed_at)::float8 * 1000,
           extract(epoch FROM j.started_at)::float8 * 1000,
           j.run_s::float8
    FROM jobs AS j JOIN job_attempts AS a USING (job_id) WHERE j.job_id = ANY(%s::uuid[])
"""


class Dispatch(NamedTuple):
    """How one job of a single dispatch was run; broker times in milliseconds since 1970."""

    state: str
    dispatches: int
    bucket: int
    queued_ms: float
    """When it was put into its bucket."""
    claimed_ms: float
    started_ms: float
    run_s: float
    """As its worker measured it."""


class Times(NamedTuple):
    """Broker times of one job, milliseconds since 1970."""

    state: str
    claimed_ms: float
    """Append time of the claim."""
    started_ms: float
    """When the executor handed it to a worker, by its estimate of the broker's clock."""
    closed_ms: float
    """Append time of the closure."""


class JobsTable:
    """One connection to the state table."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, conninfo: str) -> Self:
        """Connect."""
        return cls(await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.close()

    async def ended(self, job_ids: Collection[str]) -> set[str]:
        """Give those of the jobs whose rows are terminal."""
        cursor = await self._connection.execute(_ENDED, (list(job_ids),))
        return {str(job_id) for (job_id,) in await cursor.fetchall()}

    async def count_all(self, type_: str) -> int:
        """Count the jobs of a type."""
        return await self._count(_OF_TYPE, type_)

    async def count_waiting(self, type_: str) -> int:
        """Count the jobs of a type that wait."""
        return await self._count(_WAITING_OF_TYPE, type_)

    async def count_ended(self, type_: str) -> int:
        """Count the terminal rows of one type."""
        return await self._count(_ENDED_OF_TYPE, type_)

    async def count_queued(self, pool: str) -> int:
        """Count the jobs of a pool that are queued."""
        return await self._count(_QUEUED_OF_POOL, pool)

    async def _count(self, query: LiteralString, name: str) -> int:
        row = await (await self._connection.execute(query, (name,))).fetchone()
        return 0 if row is None else int(row[0])

    async def times(self, job_ids: Collection[str]) -> dict[str, Times]:
        """Give the times of jobs that ended in their first dispatch."""
        cursor = await self._connection.execute(_TIMES, (list(job_ids),))
        return {job_id: Times(*times) for job_id, *times in await cursor.fetchall()}

    async def dispatches(self, job_ids: Collection[str]) -> dict[str, Dispatch]:
        """Give how jobs that have ended were run."""
        cursor = await self._connection.execute(_DISPATCHES, (list(job_ids),))
        return {job_id: Dispatch(*found) for job_id, *found in await cursor.fetchall()}
