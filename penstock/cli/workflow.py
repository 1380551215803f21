"""``penstock workflow``: submit jobs that depend on one another, and look after them."""

import asyncio
import getpass
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, out, say, show_json, show_table
from penstock.cli.queries import Database, connected
from penstock.cli.times import age, duration
from penstock.cli.workflow_file import jobs_of, read_workflow
from penstock.cli.workflow_retry import retry_dead
from penstock.cli.workflow_rows import jobs_of_workflow, layers_of, newest_workflows, one_workflow
from penstock.client import JobRow, Workflow
from penstock.client.rows import TERMINAL_STATES

WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Id of the workflow.")]
Tenant = Annotated[str, typer.Option(help="Whose workflow it is.")]
SHOWN_PER_LAYER_MAX = 20
POLL_S = 0.5
_LIST_COLUMNS = ("workflow", "tenant", "state", "jobs", "ended", "failed", "progress", "critical path", "age")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Submit, show, cancel or retry workflows.")
    group.command("submit")(submit)
    group.command("show")(show)
    group.command("list")(list_)
    group.command("cancel")(cancel)
    group.command("retry")(retry)
    app.add_typer(group, name="workflow")


@command
async def submit(
    file: Annotated[Path, typer.Argument(help="YAML or JSON, - for standard input; see docs/workflows.md.")],
    id_: Annotated[str | None, typer.Option("--id", help="Id of this run, instead of the file's.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose workflow it is, instead of the file's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show it; submit nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all its jobs have ended.")] = False,
    wait_timeout: Annotated[
        timedelta | None,
        typer.Option(help="Wait at most so long, such as 1h.", parser=duration, metavar="DURATION"),
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Submit a workflow.

    Every job is checked before the first is sent. Submitting the same id again adds only what is not
    there yet. Exit code 1 with --wait when a job did not succeed.
    """
    workflow = read_workflow(file, id_, tenant)
    jobs = jobs_of(workflow)
    if dry_run:
        _show_plan(workflow, as_json=as_json)
        return
    where = connections(data)
    async with where.client() as client:
        await client.submit_many(jobs)
    if not wait and wait_timeout is None:
        _say_submitted(workflow, as_json=as_json)
        return
    limit_s = None if wait_timeout is None else wait_timeout.total_seconds()
    async with connected(where.database) as database:
        row = await _ended(database, workflow, limit_s, quiet=as_json)
    if as_json:
        show_json(row)
    if row["state"] != "succeeded":
        fail(f"workflow {workflow.workflow_id} {row['state']}; `penstock workflow show` names the jobs")


@command
async def list_(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List workflows; the newest come first."""
    async with connected(connections(data).database) as database:
        rows = await newest_workflows(database, limit)
    if as_json:
        show_json(rows)
        return
    show_table(_LIST_COLUMNS, [_list_cells(row) for row in rows])


@command
async def show(
    workflow: WorkflowId, tenant: Tenant = "default", as_json: JsonOption = False, data: DataOption = None
) -> None:
    """Show a workflow: its jobs in layers, each below what it depends on."""
    async with connected(connections(data).database) as database:
        row = await _known(database, workflow, tenant)
        jobs = await jobs_of_workflow(database, workflow, tenant)
    layers = layers_of(jobs)
    if as_json:
        show_json({"workflow": row, "layers": layers})
        return
    say(_headline(row))
    for number, layer in enumerate(layers, start=1):
        _show_layer(number, layer)


@command
async def cancel(
    workflow: WorkflowId,
    tenant: Tenant = "default",
    reason: Annotated[str, typer.Option(help="Why, for whoever looks later.")] = "",
    data: DataOption = None,
) -> None:
    """Cancel all jobs of a workflow that have not ended.

    Jobs that are added to it later are not cancelled; those that depend on a cancelled one are skipped.
    """
    where = connections(data)
    async with connected(where.database) as database:
        await _known(database, workflow, tenant)
        jobs = await jobs_of_workflow(database, workflow, tenant)
    open_ = [JobRow.of(job) for job in jobs if job["state"] not in TERMINAL_STATES]
    async with where.client() as client:
        await client.cancel_many(open_, reason=reason, by=f"cli:{getpass.getuser()}")
    say(f"asked to cancel {len(open_)} of {len(jobs)} jobs; `penstock workflow show` shows what came of it")


@command
async def retry(
    workflow: WorkflowId, tenant: Tenant = "default", as_json: JsonOption = False, data: DataOption = None
) -> None:
    """Try the dead jobs of a workflow again.

    Jobs that were skipped because of them run, too, once their parents have succeeded.
    """
    where = connections(data)
    async with connected(where.database) as database:
        await _known(database, workflow, tenant)
        jobs = await jobs_of_workflow(database, workflow, tenant)
    dead = {job["job_id"] for job in jobs if job["state"] == "dead"}
    retried, missing = await retry_dead(where, dead, by=f"cli:{getpass.getuser()}")
    if as_json:
        show_json({"retried": sorted(retried), "missing": sorted(missing)})
    else:
        say(f"asked to try {len(retried)} of {len(dead)} dead jobs again")
    if missing:
        fail(
            f"{len(missing)} dead jobs are not in `{where.routes.dead}` any more, such as {min(missing)}: "
            "submit them again under another id"
        )


async def _known(database: Database, workflow: str, tenant: str) -> dict[str, Any]:
    row = await one_workflow(database, workflow, tenant)
    if row is None:
        fail(f"the table has no workflow {workflow} of tenant {tenant} (yet)")
    return row


async def _ended(
    database: Database, workflow: Workflow, limit_s: float | None, *, quiet: bool
) -> dict[str, Any]:
    """Wait for the end of a workflow, showing how far it is.

    Over is what is over twice in a row: a job that ended may have added others that are not seen yet.
    """
    until_s = None if limit_s is None else time.monotonic() + limit_s
    with out().status("submitted") as status:
        last: dict[str, Any] | None = None
        while True:
            row = await one_workflow(database, workflow.workflow_id, workflow.tenant)
            if row is not None and not quiet:
                status.update(_headline(row))
            is_over = row is not None and row["state"] != "running" and row["jobs"] >= len(workflow)
            if row is not None and is_over and last is not None and last["jobs"] == row["jobs"]:
                break
            last = row if is_over else None
            if until_s is not None and time.monotonic() > until_s:
                fail(f"workflow {workflow.workflow_id} goes on after {limit_s:g} s")
            await asyncio.sleep(POLL_S)
    if not quiet:
        say(_headline(row))
    return row


def _say_submitted(workflow: Workflow, *, as_json: bool) -> None:
    if as_json:
        show_json(
            {"workflow_id": workflow.workflow_id, "jobs": {step.name: step.job_id for step in workflow}}
        )
    else:
        say(f"submitted {len(workflow)} jobs of workflow {workflow.workflow_id}")


def _show_plan(workflow: Workflow, *, as_json: bool) -> None:
    if as_json:
        show_json(workflow.jobs())
        return
    plan = [
        {
            "job_id": step.job_id,
            "step": step.name,
            "type": step.job["type"],
            "state": "",
            "depends_on": [workflow[name].job_id for name in step.parents]
            or ({"group": step.parent_group} if step.parent_group else []),
            "job_group": step.group,
        }
        for step in workflow
    ]
    say(f"workflow {workflow.workflow_id} of tenant {workflow.tenant}: {len(workflow)} jobs")
    for number, layer in enumerate(layers_of(plan), start=1):
        _show_layer(number, layer)


def _headline(row: Mapping[str, Any]) -> str:
    ended = sum(row[state] for state in TERMINAL_STATES)
    counts = ", ".join(f"{row[state]} {state}" for state in _COUNTED if row[state])
    path = "" if row["critical_path_s"] is None else f"; critical path {row['critical_path_s']:.2f} s"
    return f"{row['workflow_id']}: {row['state']}, {ended} of {row['jobs']} jobs ended ({counts}){path}"


_COUNTED = (
    *("accepted", "waiting", "held", "queued", "running", "retrying"),
    *("succeeded", "dead", "cancelled", "expired", "skipped", "refused"),
)


def _show_layer(number: int, layer: Sequence[Mapping[str, Any]]) -> None:
    say(f"layer {number}")
    if len(layer) > SHOWN_PER_LAYER_MAX:
        counted = Counter((job["type"], job["job_group"], job["state"]) for job in layer)
        for (type_, group, state), count in sorted(counted.items(), key=lambda one: -one[1]):
            of_group = f" of group {group}" if group else ""
            say(f"  {count} x {type_}{of_group} {state}".rstrip())
        return
    for job in layer:
        say(f"  {_job_line(job)}".rstrip())


def _job_line(job: Mapping[str, Any]) -> str:
    name = job["step"] or job["job_id"]
    after = ""
    match job["depends_on"]:
        case {"group": str() as group}:
            after = f"  after group {group}"
        case [_, *_] as parents:
            after = f"  after {len(parents)}"
        case _:
            pass
    error = f"  {job['error_class']}: {job['error_message']}" if job.get("error_class") else ""
    return f"{name:32} {job['state']:10} {job['type']}{after}{error}"


def _list_cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    ended = sum(row[state] for state in TERMINAL_STATES)
    failed = row["dead"] + row["refused"] + row["expired"]
    return (
        row["workflow_id"],
        row["tenant"],
        row["state"],
        row["jobs"],
        ended,
        failed,
        f"{row['progress']:.0%}",
        row["critical_path_s"],
        age(row["submitted_at"], row["finished_at"] or row["updated_at"]),
    )
