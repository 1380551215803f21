"""Commands about jobs: ``get``, ``list``, ``logs``, and two that follow them."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from core.states import State
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.job_argument import Job
from penstock.cli.queries import attempts_of, connected, list_jobs, one_job
from penstock.cli.tail import tail
from penstock.cli.times import age, time_back
from penstock.cli.watch import watch

_DETAILS = ("payload", "result", "score_parts", "labels")
_LIST_COLUMNS = ("job", "state", "type", "tenant", "attempt", "priority", "age", "run", "due in", "error")
_ATTEMPT_COLUMNS = ("n", "attempt", "outcome", "run_s", "executor", "error", "decision")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("get")(get)
    app.command("list")(list_)
    app.command("watch")(watch)
    app.command("tail")(tail)
    app.command("logs")(logs)


@command
async def get(job: Job, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show one job.

    Everything the table knows of it, and its attempts. Exit code 1 when it has no such row.
    """
    async with connected(connections(data).database) as database:
        row = await one_job(database, job)
        attempts = await attempts_of(database, job)
    if row is None:
        fail(f"the table has no job {job} (yet); `penstock rejected list` shows records that are no job")
    if as_json:
        show_json({"job": row, "attempts": attempts})
        return
    for name, value in row.items():
        if value is not None and name not in _DETAILS:
            say(f"{name:20} {value}")
    for name in _DETAILS:
        if row[name] not in (None, {}):
            say(f"{name:20} {row[name]}")
    if attempts:
        show_table(_ATTEMPT_COLUMNS, [_attempt_cells(attempt) for attempt in attempts], title="attempts")


@command
async def list_(
    state: Annotated[list[State] | None, typer.Option(help="Only this state; repeat for several.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Submitted since: 1h (ago) or RFC 3339.", parser=time_back, metavar="TIME"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List jobs.

    The newest come first.
    """
    async with connected(connections(data).database) as database:
        rows = await list_jobs(
            database,
            states=list(state) if state else None,
            type_=type_,
            tenant=tenant,
            since=since,
            limit=limit,
        )
    if as_json:
        show_json(rows)
        return
    now = datetime.now(UTC)
    show_table(_LIST_COLUMNS, [_list_cells(row, now) for row in rows])
    if len(rows) == limit:
        say(f"the newest {limit}; --limit shows more")


@command
async def logs(job: Job, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show what a job logged.

    These are the lines its tasks wrote with ctx.log, of all attempts.
    """
    async with connections(data).client() as client:
        lines = await client.logs(job)
    if as_json:
        show_json(
            [{"n": x.n, "seq": x.seq, "at": x.at, "level": x.level, "message": x.message} for x in lines]
        )
        return
    for line in lines:
        say(f"{line.at:%Y-%m-%d %H:%M:%S.%f} {line.n:>2} {line.level:<8} {line.message}")


def _list_cells(row: dict[str, Any], now: datetime) -> tuple[object, ...]:
    run = age(row["started_at"], row["finished_at"] or now)
    due = row["due_at"]
    return (
        row["job_id"],
        row["state"]
        if row["waiting_on"] is None or row["state"] != "waiting"
        else f"waiting: {row['waiting_on']}",
        row["type"],
        row["tenant"],
        row["attempt"],
        row["priority"],
        age(row["submitted_at"], now),
        run,
        age(now, due) if due is not None and due > now else "",
        _short_error(row),
    )


def _attempt_cells(row: dict[str, Any]) -> tuple[object, ...]:
    decision = row["decision"] and f"{row['decision']}: {row['decision_reason'] or ''}"
    return (
        row["n"],
        row["attempt"],
        row["outcome"] or "running",
        row["run_s"],
        row["executor_id"],
        _short_error(row),
        decision,
    )


def _short_error(row: dict[str, Any]) -> str:
    if row["error_class"] is None:
        return ""
    message = (row["error_message"] or "").partition("\n")[0]
    return f"{row['error_class']}: {message[:60]}"
