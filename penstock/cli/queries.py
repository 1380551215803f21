"""Questions to the state table that the commands ask; the columns stand in ``adapters.postgres.tables``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from adapters.postgres.tables.views import DEADLINE_MET
from penstock.connection import DatabaseConnection

CONNECT_TIMEOUT_S = 10
Database = psycopg.AsyncConnection[dict[str, Any]]
Rows = list[dict[str, Any]]

_LIST = """
SELECT job_id::text AS job_id, state, type, tenant, attempt, priority, bucket, submitted_at, started_at,
       finished_at, due_at, waiting_on, error_class, error_message
FROM jobs
WHERE (%(states)s::text[] IS NULL OR state = ANY(%(states)s))
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR submitted_at >= %(since)s)
ORDER BY submitted_at DESC NULLS LAST
LIMIT %(limit)s
"""
_DEADLINE = DEADLINE_MET.sql + " AS deadline_met"
_JOB = "SELECT jobs.*, " + _DEADLINE + " FROM jobs WHERE job_id = %s::uuid"  # noqa: S608 - our own text
_ATTEMPTS = "SELECT * FROM job_attempts WHERE job_id = %s::uuid ORDER BY n"
_COUNTS = """
SELECT state, count(*) AS jobs, min(submitted_at) AS oldest, max(updated_at) AS newest_event
FROM jobs WHERE submitted_at >= %s GROUP BY state
"""


@asynccontextmanager
async def connected(connection: DatabaseConnection) -> AsyncIterator[Database]:
    """Connect for the life of the block; every statement is its own transaction."""
    database = await psycopg.AsyncConnection.connect(
        connection.conninfo,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="penstock-cli",
    )
    async with database:
        yield database


async def list_jobs(
    database: Database,
    *,
    states: list[str] | None,
    type_: str | None,
    tenant: str | None,
    since: datetime | None,
    limit: int,
) -> Rows:
    """Give jobs, the newest first."""
    return await _fetch(
        database,
        _LIST,
        {"states": states, "type": type_, "tenant": tenant, "since": since, "limit": limit},
    )


async def one_job(database: Database, job_id: str) -> dict[str, Any] | None:
    """Give all columns of one job and ``deadline_met``, None when there is no such row."""
    rows = await _fetch(database, _JOB, [job_id])
    return rows[0] if rows else None


async def attempts_of(database: Database, job_id: str) -> Rows:
    """Give the dispatches of one job, the first first."""
    return await _fetch(database, _ATTEMPTS, [job_id])


async def counts_by_state(database: Database, since: datetime) -> Rows:
    """Count the jobs submitted since then by state."""
    return await _fetch(database, _COUNTS, [since])


async def _fetch(database: Database, sql: LiteralString, parameters: Any) -> Rows:
    cursor = await database.execute(sql, parameters)
    return await cursor.fetchall()
