"""What the demo asks of Postgres: cheap counts while it runs, and the run's rows at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from core.states import TERMINAL
from penstock.demo.evidence import JobRow
from penstock.demo.plan import NUMBER_LABEL, RUN_LABEL

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000

_MINE = f"labels ->> '{RUN_LABEL}' = %(run)s AND submitted_at >= to_timestamp(%(since_s)s)"

_COUNTS = f"""
SELECT state, bucket, count(*) AS jobs, coalesce(sum(greatest(attempt, 1) - 1), 0) AS retries,
       extract(epoch FROM max(updated_at)) AS changed_s
FROM jobs WHERE {_MINE} GROUP BY state, bucket
"""  # noqa: S608 - the label is a constant

_WAITS = f"""
SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY wait_s) AS waits_s
FROM (SELECT extract(epoch FROM started_at - ready_at) AS wait_s FROM jobs WHERE {_MINE}) AS times
WHERE wait_s >= 0
"""  # noqa: S608 - the label is a constant

_ROWS = f"""
SELECT job_id::text AS job_id, labels ->> '{NUMBER_LABEL}' AS number, type, state, error_class, error_message,
       attempt, submitted_at, ready_at, started_at, finished_at,
       (SELECT max(n) FROM job_attempts WHERE job_attempts.job_id = jobs.job_id AND outcome = 'succeeded')
       AS succeeded_dispatch
FROM jobs WHERE {_MINE}
"""  # noqa: S608 - the labels are constants


@dataclass(frozen=True)
class Counts:
    """A run in numbers at one moment.

    Attributes
    ----------
    states, buckets
        Jobs by state; queued jobs by bucket, 0 the most urgent.
    changed_s
        When the newest of these rows changed, seconds since 1970.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    buckets: Mapping[int, int] = field(default_factory=dict)
    retries: int = 0
    changed_s: float = 0.0
    wait_p50_s: float | None = None
    wait_p99_s: float | None = None

    @property
    def seen(self) -> int:
        """Jobs the table knows."""
        return sum(self.states.values())

    @property
    def terminal(self) -> int:
        """Jobs that have ended."""
        return sum(count for state, count in self.states.items() if state in TERMINAL)


class RunTable:
    """The state table, asked about one run. Reconnects by itself when it is asked again.

    Parameters
    ----------
    since_s
        Jobs submitted before (seconds since 1970, broker time) are not of this run.
    """

    def __init__(self, conninfo: str, run_id: str, since_s: float) -> None:
        self._conninfo = conninfo
        self._parameters = {"run": run_id, "since_s": since_s}
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    async def counts(self) -> Counts:
        """Count the run's jobs.

        Raises
        ------
        psycopg.OperationalError
            Postgres is away; ask again later.
        """
        groups = await self._ask(_COUNTS)
        waits = (await self._ask(_WAITS))[0]["waits_s"] or (None, None)
        return counts_of(groups, waits)

    async def rows(self) -> dict[str, JobRow]:
        """Give all rows of the run; raises as ``counts``."""
        return {row["job_id"]: job_row(row) for row in await self._ask(_ROWS)}

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _ask(self, statement: str) -> list[dict[str, Any]]:
        try:
            connection = await self._connected()
            cursor = await connection.execute(statement.encode(), self._parameters)
            return await cursor.fetchall()
        except psycopg.OperationalError:
            await self.close()
            raise

    async def _connected(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_TIMEOUT_S,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            )
        return self._connection


def counts_of(groups: Sequence[Mapping[str, Any]], waits_s: Sequence[Any]) -> Counts:
    """Add up the groups of the counting query."""
    states: dict[str, int] = {}
    buckets: dict[int, int] = {}
    for group in groups:
        states[group["state"]] = states.get(group["state"], 0) + group["jobs"]
        if group["state"] == "queued" and group["bucket"] is not None:
            buckets[group["bucket"]] = buckets.get(group["bucket"], 0) + group["jobs"]
    p50_s, p99_s = (None if wait_s is None else float(wait_s) for wait_s in waits_s)
    return Counts(
        states=states,
        buckets=buckets,
        retries=int(sum(group["retries"] for group in groups)),
        changed_s=max((float(group["changed_s"] or 0) for group in groups), default=0.0),
        wait_p50_s=p50_s,
        wait_p99_s=p99_s,
    )


def job_row(row: Mapping[str, Any]) -> JobRow:
    """Make a row of the query's columns."""
    number = row["number"]
    return JobRow(
        job_id=row["job_id"],
        number=int(number) if number is not None and number.isdigit() else None,
        type=row["type"] or "",
        state=row["state"],
        succeeded_dispatch=row["succeeded_dispatch"],
        error_class=row["error_class"],
        error_message=row["error_message"],
        submitted_ms=_ms(row["submitted_at"]),
        ready_ms=_ms(row["ready_at"]),
        started_ms=_ms(row["started_at"]),
        finished_ms=_ms(row["finished_at"]),
        attempt=row["attempt"],
    )


def _ms(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
