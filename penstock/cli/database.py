"""``penstock sql`` and ``penstock purge``: questions to the database, and removing old rows."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, LiteralString, NamedTuple, cast

import psycopg
import typer
from psycopg.rows import dict_row

from core.states import TERMINAL
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.queries import CONNECT_TIMEOUT_S, Database, connected
from penstock.cli.times import duration
from penstock.connection import DatabaseConnection

STATEMENT_TIMEOUT_S = 30
ROWS_MAX = 1000
PURGE_BATCH_JOBS = 5000
"""Jobs removed in one transaction: short enough that the materializer never waits long for a lock."""

_ENDED_STATES = sorted(state.value for state in TERMINAL)
_COUNT = """
SELECT count(*) AS jobs, min(finished_at) AS oldest FROM jobs
WHERE state = ANY(%(states)s) AND finished_at < now() - %(age)s::interval
"""
# SKIP LOCKED: a row the materializer is writing at this moment is not old, whatever it says.
_PURGE = """
WITH old AS (
    SELECT job_id FROM jobs
    WHERE state = ANY(%(states)s) AND finished_at < now() - %(age)s::interval
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), attempts AS (
    DELETE FROM job_attempts USING old WHERE job_attempts.job_id = old.job_id RETURNING 1
), lines AS (
    DELETE FROM job_logs USING old WHERE job_logs.job_id = old.job_id RETURNING 1
), scores AS (
    DELETE FROM job_scores USING old WHERE job_scores.job_id = old.job_id RETURNING 1
), decisions AS (
    DELETE FROM retry_decisions USING old WHERE retry_decisions.job_id = old.job_id RETURNING 1
), gone AS (
    DELETE FROM jobs USING old WHERE jobs.job_id = old.job_id RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS jobs, (SELECT count(*) FROM attempts) AS attempts,
       (SELECT count(*) FROM lines) AS lines, (SELECT count(*) FROM scores) AS scores,
       (SELECT count(*) FROM decisions) AS decisions
"""


class Purged(NamedTuple):
    """Rows removed."""

    jobs: int
    attempts: int
    lines: int
    scores: int
    decisions: int


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("sql")(sql)
    app.command("purge")(purge)


@command
async def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; the views v1_jobs and v1_attempts are stable.")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Ask the database.

    One statement in a read-only transaction: at most 30 s, at most 1,000 rows shown.
    """
    async with _read_only(connections(data).database) as database:
        columns, rows = await _first_rows(database, query)
    is_cut = len(rows) > ROWS_MAX
    rows = rows[:ROWS_MAX]
    if as_json:
        show_json(rows)
    else:
        show_table(columns, [[row[column] for column in columns] for row in rows])
    if is_cut:
        typer.echo(f"only the first {ROWS_MAX} rows are shown; use LIMIT, or COPY with psql", err=True)


@asynccontextmanager
async def _read_only(connection: DatabaseConnection) -> AsyncIterator[Database]:
    database = await psycopg.AsyncConnection.connect(
        connection.conninfo,
        row_factory=dict_row,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="penstock-sql",
        options=f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000}",
    )
    async with database:
        await database.set_read_only(True)
        yield database


async def _first_rows(database: Database, query: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Give column names and the first rows, one more than are shown.

    Rows are streamed, so a large answer is neither kept in memory nor waited for; and the extended
    protocol that streaming uses takes exactly one statement.
    """
    rows: list[dict[str, Any]] = []
    async with database.cursor() as cursor:
        # psycopg takes only literal text as SQL; that a person wrote this one is the purpose.
        stream = cast("AsyncGenerator[dict[str, Any], None]", cursor.stream(query.encode()))
        async with aclosing(stream) as answer:
            async for row in answer:
                rows.append(row)
                if len(rows) > ROWS_MAX:
                    break
        columns = [column.name for column in cursor.description or ()]
    return columns, rows


@command
async def purge(
    older_than: Annotated[
        timedelta,
        typer.Option(help="Ended longer ago than, such as 30d.", parser=duration, metavar="DURATION"),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Remove old finished jobs from the table.

    With their attempts, log lines and scores. Only the table shrinks: Kafka keeps what it keeps, and a
    rebuild brings back what it still holds.
    """
    parameters = {"states": _ENDED_STATES, "age": older_than, "batch": PURGE_BATCH_JOBS}
    async with connected(connections(data).database) as database:
        found = await (await database.execute(_COUNT, parameters)).fetchone()
        assert found is not None
        if dry_run or not found["jobs"]:
            _show_found(found["jobs"], found["oldest"], as_json=as_json)
            return
        if not yes:
            _ask(found["jobs"], older_than)
        purged = await _purge(database, _PURGE, parameters)
    if as_json:
        show_json(purged._asdict())
    else:
        say(
            f"removed {purged.jobs} jobs, {purged.attempts} attempts, {purged.lines} log lines, "
            f"{purged.scores} scores, {purged.decisions} decisions about failures"
        )


def _show_found(jobs: int, oldest: datetime | None, *, as_json: bool) -> None:
    if as_json:
        show_json({"would_remove_jobs": jobs, "oldest": oldest})
    else:
        say(f"{jobs} jobs would be removed" + (f", the oldest ended {oldest}" if oldest else ""))


def _ask(jobs: int, older_than: timedelta) -> None:
    if not sys.stdin.isatty():
        fail(f"{jobs} jobs would be removed: repeat with --yes, or look first with --dry-run", code=2)
    typer.confirm(f"remove {jobs} jobs that ended more than {older_than} ago?", abort=True)


async def _purge(database: Database, statement: LiteralString, parameters: dict[str, Any]) -> Purged:
    """Remove batch by batch, each its own transaction, until nothing is left or all of it is locked."""
    total = Purged(0, 0, 0, 0, 0)
    while True:
        row = await (await database.execute(statement, parameters)).fetchone()
        assert row is not None
        if not row["jobs"]:
            return total
        total = Purged(*(sum(pair) for pair in zip(total, Purged(**row), strict=True)))
