"""``penstock cancel``: one job by its id, a workflow, or all open jobs that meet a filter."""

import asyncio
import getpass
import math
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated

import psycopg
import typer
from rich.console import Console

from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json
from penstock.cli.job_argument import job_id
from penstock.cli.times import duration
from penstock.client import CancelReport, Client, InvalidFilter, JobFilter, JobRow, NotConnected
from penstock.client.cancelling import RATE_PER_S

_TABLE_LIMIT_S = 10.0
"""The table is asked for the origin alone: a cancel does not wait longer for it."""
_SAY_EVERY_S = 1.0

Job = Annotated[str | None, typer.Argument(metavar="[JOB]", parser=job_id, help="Id of one job.")]
Workflow = Annotated[str | None, typer.Option(help="All open jobs of this workflow.")]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="CONDITIONS",
        help="All open jobs with 'type=a,b tenant=T pool=P state=S workflow=W ordering-key=K label.X=Y "
        "older-than=1h'; every condition must hold.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for whoever looks later.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count them, and cancel nothing.")]
Rate = Annotated[float, typer.Option(min=0, help="At most so many jobs a second; 0: as fast as possible.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until they have ended, and count how.")]
WaitLimit = Annotated[
    timedelta | None,
    typer.Option("--wait-timeout", parser=duration, metavar="TIME", help="Longest wait, implies --wait."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cancel")(cancel)


@command
async def cancel(
    job: Job = None,
    workflow: Workflow = None,
    filter_: Filter = None,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    rate: Rate = RATE_PER_S,
    wait: Wait = False,
    wait_limit: WaitLimit = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Cancel a job, or all that meet a filter.

    No attempt starts once the cancel is in the log; a running one is asked to stop, and its worker is killed
    when it does not. A job is cancelled by its id also before it has arrived, and while the table is away.
    Exit code 1 when the job has ended already, or with --wait when one did not end as cancelled.
    """
    if sum(given is not None for given in (job, workflow, filter_ or None)) != 1:
        fail("name one of JOB, --workflow and --filter", code=2)
    limit_s = _limit_s(wait, wait_limit)
    async with connections(data).client() as client:
        if job is not None:
            if dry_run or yes:
                fail("--dry-run and --yes are for --workflow and --filter", code=2)
            await _cancel_one(client, job, reason, limit_s, as_json=as_json)
            return
        wanted = _wanted(workflow, filter_ or ())
        found = await client.count_matching(wanted)
        if dry_run or not found:
            _show_found(found, as_json=as_json)
            return
        _confirm(found, yes=yes, as_json=as_json)
        await _cancel_all(client, wanted, reason, rate, limit_s, as_json=as_json)


def _limit_s(wait: bool, limit: timedelta | None) -> float | None:
    """Give how long to wait, None for not at all."""
    if limit is not None:
        return limit.total_seconds()
    return math.inf if wait else None


def _wanted(workflow: str | None, texts: Sequence[str]) -> JobFilter:
    try:
        return JobFilter(workflow_ids=(workflow,)) if workflow is not None else JobFilter.parse(texts)
    except InvalidFilter as error:
        fail(str(error), code=2)


def _by() -> str:
    return f"cli:{getpass.getuser()}"


async def _cancel_one(client: Client, job: str, reason: str, limit_s: float | None, *, as_json: bool) -> None:
    row = await _row(client, job)
    if row is not None and row.is_terminal:
        fail(f"job {job} is {row.state} already")
    await client.cancel(row or job, reason=reason, by=_by())
    settled = None if limit_s is None else await client.settled([job], limit_s)
    state = None if settled is None else next(iter(settled), None)
    was = None if row is None else row.state
    if as_json:
        show_json({"job_id": job, "was": was, "state": state})
    else:
        say(_told(job, was, state, waited=limit_s is not None))
    if limit_s is not None and state != "cancelled":
        raise typer.Exit(1)


def _told(job: str, was: str | None, state: str | None, *, waited: bool) -> str:
    if was is None:
        told = (
            f"asked to cancel {job}, which the table does not know (yet): it never starts, unless it is "
            "submitted later than 24 hours from now"
        )
    else:
        told = f"asked to cancel {job}, which was {was}"
    if waited:
        return f"{told}; it is {state or 'not in the table'}"
    return f"{told}; `penstock get {job}` shows what came of it"


async def _row(client: Client, job: str) -> JobRow | None:
    """Give the job's row; None also when the table is away, since a cancel needs no table."""
    try:
        async with asyncio.timeout(_TABLE_LIMIT_S):
            return await client.get(job)
    except (NotConnected, psycopg.Error, TimeoutError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"without the table: {error}", markup=False
        )
        return None


def _show_found(found: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        show_json({"found": dict(found), "asked": 0})
    elif found:
        say(f"would cancel {_counted(found)}")
    else:
        say("no open job meets this")


def _confirm(found: Mapping[str, int], *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        fail(f"this would cancel {_counted(found)}; add --yes", code=2)
    if not typer.confirm(f"Cancel {_counted(found)}?"):
        raise typer.Exit(1)


async def _cancel_all(
    client: Client, wanted: JobFilter, reason: str, rate: float, limit_s: float | None, *, as_json: bool
) -> None:
    progress = _Progress()
    report = await client.cancel_matching(
        wanted, reason=reason, by=_by(), rate_per_s=rate, progress=progress.show
    )
    settled = None if limit_s is None else await client.settled(report.job_ids, limit_s)
    if as_json:
        show_json({"found": dict(report.by_state), "asked": report.asked, "settled": settled})
    else:
        say(f"asked {_counted(report.by_state)} to end")
        if settled is not None:
            say(f"now {_counted(settled)}")
    if settled is not None and set(settled) != {"cancelled"}:
        raise typer.Exit(1)


class _Progress:
    """Says on standard error how many were asked, once a second."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._said_s = time.monotonic()

    def show(self, report: CancelReport) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAY_EVERY_S:
            self._said_s = now_s
            self._console.print(f"asked {report.asked} so far")


def _counted(states: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    total = sum(states.values())
    return f"{total} {'job' if total == 1 else 'jobs'} ({parts})"
