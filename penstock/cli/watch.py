"""``penstock watch``: the numbers of jobs by state, or one job, live."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Group
from rich.live import Live

from core.states import TERMINAL, State
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, out, say, show_json, table_of
from penstock.cli.queries import Database, Rows, connected, counts_by_state, one_job
from penstock.cli.times import age, duration

JOB_POLL_S = 0.2


class Look(NamedTuple):
    """The jobs by state at one moment."""

    at: datetime
    counts: Rows
    ended_per_s: float | None
    """Since the look before; None for the first."""


@command
async def watch(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Follow this job to its end.")] = None,
    since: Annotated[
        timedelta,
        typer.Option(help="Count jobs submitted within.", parser=duration, metavar="DURATION"),
    ] = timedelta(days=1),
    interval: Annotated[
        timedelta, typer.Option(help="Look again after.", parser=duration, metavar="DURATION")
    ] = timedelta(seconds=1),
    rounds: Annotated[int | None, typer.Option(min=1, help="Look so often, then end.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Follow the numbers of jobs by state, or one job.

    Until Ctrl-C; or one JOB until it ends. --json prints an object a line.
    """
    async with connected(connections(data).database) as database:
        try:
            if job is not None:
                await _follow_job(database, job, as_json=as_json)
            else:
                await _follow_all(database, since, interval.total_seconds(), rounds, as_json=as_json)
        except asyncio.CancelledError:
            # Ctrl-C is how a person ends it; the task is not cancelled by anybody else.
            return


async def _follow_job(database: Database, job: str, *, as_json: bool) -> None:
    shown: tuple[Any, ...] | None = None
    while True:
        row = await one_job(database, job)
        now = None if row is None else _position(row)
        if row is not None and now != shown:
            shown = now
            if as_json:
                show_json(row)
            else:
                say(job_line(row))
        if row is not None and row["state"] in TERMINAL:
            return
        await asyncio.sleep(JOB_POLL_S)


def _position(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["state"], row["dispatch"], row["progress"], row["waiting_on"], row["last_decision"])


def job_line(row: Mapping[str, Any]) -> str:
    """Write where a job stands as one line."""
    parts = [f"{row['updated_at']:%H:%M:%S.%f}"[:-3], f"{row['state']:<10}"]
    if row["attempt"] is not None:
        parts.append(f"attempt {row['attempt']}")
    if row["state"] == State.WAITING and row["waiting_on"]:
        parts.append(f"for {row['waiting_on']}")
    if row["state"] == State.RUNNING and row["progress"] is not None:
        parts.append(f"{row['progress']:.0%} {row['progress_message'] or ''}".rstrip())
    if row["state"] in (State.RETRYING, State.DEAD, State.HELD):
        parts.append(f"{row['error_class'] or ''}: {row['error_message'] or ''}")
        parts.append(row["last_decision"] or "")
    return "  ".join(part for part in parts if part)


async def _follow_all(
    database: Database, since: timedelta, interval_s: float, rounds: int | None, *, as_json: bool
) -> None:
    async with aclosing(_looks(database, since, interval_s, rounds)) as looks:
        if as_json:
            async for look in looks:
                show_json({"at": look.at, "jobs": _by_state(look.counts), "ended_per_s": look.ended_per_s})
            return
        with Live(console=out(), auto_refresh=False) as live:
            async for look in looks:
                live.update(picture(look), refresh=True)


async def _looks(
    database: Database, since: timedelta, interval_s: float, rounds: int | None
) -> AsyncGenerator[Look, None]:
    """Look again and again; without a number of rounds for ever."""
    ended_before: int | None = None
    looked_s = time.monotonic()
    for turn in itertools.count(1):
        at = datetime.now(UTC)
        counts = await counts_by_state(database, at - since)
        ended = sum(row["jobs"] for row in counts if row["state"] in TERMINAL)
        elapsed_s, looked_s = time.monotonic() - looked_s, time.monotonic()
        per_s = None if ended_before is None else max(0, ended - ended_before) / elapsed_s
        ended_before = ended
        yield Look(at, counts, per_s)
        if turn == rounds:
            return
        await asyncio.sleep(interval_s)


def _by_state(counts: Rows) -> dict[str, int]:
    return {row["state"]: row["jobs"] for row in counts}


def picture(look: Look) -> Group:
    """Make the picture of all states, in the order of a job's path."""
    found = {row["state"]: row for row in look.counts}
    rows = []
    for state in State:
        row = found.get(state)
        oldest = "" if row is None or state in TERMINAL else age(row["oldest"], look.at)
        rows.append((str(state), 0 if row is None else row["jobs"], oldest))
    rate = "" if look.ended_per_s is None else f"{look.ended_per_s:.1f} ended/s"
    return Group(f"{look.at:%H:%M:%S} UTC  {rate}", table_of(("state", "jobs", "oldest"), rows))
