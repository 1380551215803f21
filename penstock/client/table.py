"""What the client reads from Postgres: single rows, ended jobs, log lines. Read only."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from penstock.client.errors import NotConnected
from penstock.client.filters import CONDITION, JobFilter
from penstock.client.rows import TERMINAL_STATES, JobRow, LogLine
from penstock.connection import DatabaseConnection

CONNECT_TIMEOUT_S = 10
Parameters = list[Any] | dict[str, Any]

_ENDED = "SELECT job_id::text AS job_id FROM jobs WHERE job_id = ANY(%s::uuid[]) AND state = ANY(%s)"
_KNOWN = "SELECT job_id::text AS job_id FROM jobs WHERE job_id = ANY(%s::uuid[])"
_ROWS = "SELECT * FROM jobs WHERE job_id = ANY(%s::uuid[])"
_LOGS = "SELECT n, seq, at, level, message FROM job_logs WHERE job_id = %s::uuid ORDER BY n, seq"
_STATES = "SELECT job_id::text AS job_id, state FROM jobs WHERE job_id = ANY(%s::uuid[])"
_ORIGIN = "origin_epoch || ':' || origin_partition || ':' || origin_offset AS origin"
_ORIGINS = "SELECT job_id::text AS job_id, " + _ORIGIN + " FROM jobs WHERE job_id = ANY(%s::uuid[])"  # noqa: S608 - our own text
_COUNT = "SELECT state, count(*) AS jobs, max(submitted_at) AS newest FROM jobs WHERE "
_MATCHING = _COUNT + CONDITION + "GROUP BY state"
_OPEN = (
    "SELECT job_id::text AS job_id, state, submitted_at, "  # noqa: S608 - our own text
    + _ORIGIN
    + " FROM jobs WHERE "
    + CONDITION
    + "AND submitted_at <= %(newest)s "
    "AND (%(after)s::timestamptz IS NULL OR (submitted_at, job_id) > (%(after)s, %(after_id)s::uuid)) "
    "ORDER BY submitted_at, job_id LIMIT %(limit)s"
)


class Matching(NamedTuple):
    """How many open jobs meet a filter."""

    by_state: dict[str, int]
    newest: datetime | None
    """When the newest of them was submitted."""


class OpenJob(NamedTuple):
    """An open job as a bulk command needs it."""

    job_id: str
    state: str
    submitted_at: datetime
    origin: str
    """Empty when the table does not know it."""


class StateTable:
    """One connection to the state table, opened at first use and again after it broke."""

    def __init__(self, connection: DatabaseConnection) -> None:
        self._conninfo = connection.conninfo
        self._lock = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    async def rows(self, job_ids: Sequence[str]) -> dict[str, JobRow]:
        """Give the rows there are, by job id."""
        found = await self._query(_ROWS, [list(job_ids)])
        rows = [JobRow.of(columns) for columns in found]
        return {row.job_id: row for row in rows}

    async def ended(self, job_ids: Sequence[str]) -> set[str]:
        """Give those of the jobs that are terminal."""
        found = await self._query(_ENDED, [list(job_ids), sorted(TERMINAL_STATES)])
        return {columns["job_id"] for columns in found}

    async def known(self, job_ids: Sequence[str]) -> set[str]:
        """Give those of the jobs that have a row."""
        found = await self._query(_KNOWN, [list(job_ids)])
        return {columns["job_id"] for columns in found}

    async def logs(self, job_id: str) -> list[LogLine]:
        """Give what the job's tasks logged, in order of dispatch and line."""
        return [LogLine(**columns) for columns in await self._query(_LOGS, [job_id])]

    async def states(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Give the states of those jobs that have a row."""
        found = await self._query(_STATES, [list(job_ids)])
        return {columns["job_id"]: columns["state"] for columns in found}

    async def origins(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Give the origins of those jobs of which they are known, as text."""
        found = await self._query(_ORIGINS, [list(job_ids)])
        return {columns["job_id"]: columns["origin"] for columns in found if columns["origin"] is not None}

    async def matching(self, wanted: JobFilter) -> Matching:
        """Count the open jobs that meet a filter."""
        found = await self._query(_MATCHING, _parameters(wanted))
        newest = [columns["newest"] for columns in found if columns["newest"] is not None]
        return Matching({columns["state"]: columns["jobs"] for columns in found}, max(newest, default=None))

    async def open_jobs(
        self, wanted: JobFilter, after: OpenJob | None, newest: datetime | None, limit: int
    ) -> list[OpenJob]:
        """Give open jobs that meet a filter, oldest first: those behind ``after``, up to ``newest``."""
        parameters = _parameters(wanted) | {
            "after": None if after is None else after.submitted_at,
            "after_id": None if after is None else after.job_id,
            "newest": newest,
            "limit": limit,
        }
        found = await self._query(_OPEN, parameters)
        return [
            OpenJob(row["job_id"], row["state"], row["submitted_at"], row["origin"] or "") for row in found
        ]

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _query(self, sql: LiteralString, parameters: Parameters) -> list[dict[str, Any]]:
        """Run one query; a connection that broke since the last one is opened again, once."""
        async with self._lock:
            try:
                return await self._fetch(sql, parameters)
            except psycopg.OperationalError as error:
                if self._connection is None or not self._connection.broken:
                    raise NotConnected(f"Postgres at {self._address()}: {_first_line(error)}") from error
                await self.close()
            except psycopg.errors.UndefinedTable as error:
                raise NotConnected(
                    f"the database at {self._address()} has no state table: run `penstock up` once, "
                    "or `python -m adapters.prepare`"
                ) from error
            try:
                return await self._fetch(sql, parameters)
            except psycopg.OperationalError as error:
                raise NotConnected(f"Postgres at {self._address()}: {_first_line(error)}") from error

    async def _fetch(self, sql: LiteralString, parameters: Parameters) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="penstock-client",
            )
        cursor = await self._connection.execute(sql, parameters)
        return await cursor.fetchall()

    def _address(self) -> str:
        """Give host, port and database, never the password."""
        parts = conninfo_to_dict(self._conninfo)
        return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _parameters(wanted: JobFilter) -> dict[str, Any]:
    parameters = wanted.parameters()
    labels = parameters["labels"]
    return parameters | {"labels": None if labels is None else Jsonb(labels)}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
