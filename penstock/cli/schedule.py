"""``penstock schedule``: jobs that recur."""

import getpass
import secrets
from datetime import datetime, timedelta
from typing import Annotated

import orjson
import typer

from core.schedules import CatchUp, Overlap
from penstock.cli import schedule_options as options
from penstock.cli import submit_options as job_options
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.job_input import read_labels, read_payload
from penstock.cli.schedule_input import check_job, check_name, plan_of, timing_of, window_ms_of
from penstock.cli.schedule_show import COLUMNS, cells_of, members_of, upcoming_text
from penstock.cli.schedule_topic import append_jobs, epoch_routes, now_ms, read_book, require, write
from penstock.cli.times import time_back
from penstock.errors import PenstockError
from schemas.schedule_edits import (
    UnsettledError,
    check_size,
    edited,
    ended,
    next_ticks,
    ticks_between,
    with_pause,
)
from schemas.schedules import Defined, forgotten_record, rfc3339, run_record, tick_record
from schemas.times import floor_ms

NEXT_SHOWN = 5
BACKFILL_MAX = 10_000
"""Most ticks of one backfill: about a week of minutes; more is asked for in several."""


class EditError(PenstockError):
    """An edit that cannot be written now."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Create, show and change recurring jobs.")
    group.command("create")(create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("delete")(delete)
    group.command("run-now")(run_now)
    group.command("backfill")(backfill)
    app.add_typer(group, name="schedule")


@command
async def create(
    name: options.Name,
    type_: options.Type,
    payload: job_options.Payload = None,
    cron: options.Cron = None,
    zone: options.Zone = None,
    every: options.Every = None,
    anchor: options.Anchor = None,
    at: options.At = None,
    jitter: options.Jitter = None,
    catch_up: options.CatchUpOption = CatchUp.LATEST,
    catch_up_window: options.Window = timedelta(days=1),
    overlap: options.OverlapOption = Overlap.ALLOW,
    expires_after: options.ExpiresAfter = None,
    deadline_after: options.DeadlineAfter = None,
    paused: options.Paused = False,
    replace: options.Replace = False,
    tenant: job_options.Tenant = None,
    priority: job_options.Priority = None,
    time_limit: job_options.TimeLimit = None,
    max_attempts: job_options.MaxAttempts = None,
    pool: job_options.Pool = None,
    sensitive: job_options.Sensitive = None,
    label: job_options.Label = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Create a schedule, or edit one with --replace.

    It ticks by --cron, --every or --at; each tick is one job of TYPE, with labels schedule and tick. With
    --replace everything is as given here, but ticks that were due before are still those of before.
    """
    given = {
        "type": type_,
        "tenant": tenant,
        "priority": priority,
        "timeout_s": None if time_limit is None else time_limit.total_seconds(),
        "max_attempts": max_attempts,
        "pool": pool,
        "sensitive": sensitive or None,
        "labels": read_labels(label or ()) or None,
    }
    members = {field: value for field, value in given.items() if value is not None}
    if payload is not None:
        members["payload"] = read_payload(payload)
    plan = plan_of(
        members,
        timing_of(cron, zone, every, anchor, at),
        overlap=overlap,
        jitter=jitter,
        expires_after=expires_after,
        deadline_after=deadline_after,
        paused=paused,
    )
    defined = Defined(
        check_name(name), secrets.token_hex(8), 1, plan, catch_up, window_ms_of(catch_up_window), by=_whoami()
    )
    await _create(connections(data), defined, replace=replace, as_json=as_json)


async def _create(where: Connections, defined: Defined, *, replace: bool, as_json: bool) -> None:
    check_job(where.routes, defined, where.names.pool_names)
    if defined.plan.at_ms is not None and defined.plan.at_ms <= now_ms():
        raise typer.BadParameter(f"--at {rfc3339(defined.plan.at_ms)} has passed; give a time ahead")
    view = (await read_book(where, defined.name)).view(defined.name)
    if view is not None:
        if not replace:
            fail(f"there is a schedule {defined.name!r}: edit it with --replace, or choose another name")
        defined = edited(view, defined)
    at_ms = await _write(where, defined)
    upcoming = [] if defined.plan.paused else next_ticks(defined.plan, at_ms, NEXT_SHOWN)
    if as_json:
        show_json({"name": defined.name, "version": defined.version, "next": [*map(rfc3339, upcoming)]})
        return
    say(f"{'created' if view is None else 'edited'} schedule {defined.name} (version {defined.version})")
    say("it is paused" if defined.plan.paused else upcoming_text(defined.plan, upcoming))


@command
async def list_(as_json: JsonOption = False, data: DataOption = None) -> None:
    """List schedules."""
    book = await read_book(connections(data))
    views = [view for name in book.names() if (view := book.view(name)) is not None]
    if as_json:
        show_json([members_of(view, NEXT_SHOWN) for view in views])
        return
    show_table(COLUMNS, [cells_of(view) for view in views])


@command
async def show(
    name: options.Name,
    count: Annotated[
        int, typer.Option("--next", min=0, max=1000, help="Show so many next ticks.")
    ] = NEXT_SHOWN,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show one schedule and its next ticks."""
    view = await require(connections(data), name)
    members = members_of(view, count)
    if as_json:
        show_json(members)
        return
    upcoming = members.pop("next")
    for key, value in members.items():
        if value not in (None, {}, ""):
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            say(f"{key.replace('_', ' '):<17}{text}")
    for tick in upcoming:
        say(f"{'next':<17}{tick}")
    if members["late_since"] is not None:
        say("its tick is overdue and nobody has fired it: is a scheduler running? `penstock lag` shows")


@command
async def pause(name: options.Name, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Stop firing until `resume`; jobs that were made already go on."""
    await _pause(connections(data), name, paused=True, as_json=as_json)


@command
async def resume(name: options.Name, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Fire again; what was missed meanwhile is up to the schedule's --catch-up."""
    await _pause(connections(data), name, paused=False, as_json=as_json)


async def _pause(where: Connections, name: str, *, paused: bool, as_json: bool) -> None:
    view = await require(where, name)
    if view.defined.plan.paused is paused:
        fail(f"schedule {name} is {'paused already' if paused else 'not paused'}")
    defined = with_pause(view, paused=paused, by=_whoami())
    at_ms = await _write(where, defined)
    upcoming = [] if paused else next_ticks(defined.plan, at_ms, NEXT_SHOWN)
    if as_json:
        show_json({"name": name, "version": defined.version, "next": [*map(rfc3339, upcoming)]})
        return
    say(f"{'paused' if paused else 'resumed'} schedule {name} (version {defined.version})")
    if not paused:
        say(upcoming_text(defined.plan, upcoming))


@command
async def delete(name: options.Name, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Delete a schedule; jobs that were made already go on."""
    where = connections(data)
    view = await require(where, name)
    forgotten = forgotten_record(where.routes, name, view.defined.incarnation)
    await write(where, ended(view, _whoami()), [forgotten])
    if as_json:
        show_json({"name": name, "deleted": True})
    else:
        say(f"deleted schedule {name}; one created again under this name has ticks of its own")


@command
async def run_now(name: options.Name, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Make one job now, beside the ticks; also of a paused schedule."""
    where = connections(data)
    routes = await epoch_routes(where)
    view = await require(where, name)
    record = run_record(routes, view.defined, now_ms(), secrets.token_hex(8))
    await append_jobs(where, [record])
    job_id = (record.key or b"").decode()
    if as_json:
        show_json({"name": name, "job_id": job_id})
    else:
        say(job_id)


@command
async def backfill(
    name: options.Name,
    from_: Annotated[
        datetime, typer.Argument(metavar="FROM", parser=time_back, help="First tick: RFC 3339, or 2d (ago).")
    ],
    to: Annotated[datetime, typer.Argument(metavar="TO", parser=time_back, help="Last tick; not ahead.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the ticks.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Fire the ticks of a past range, both ends included.

    As the schedule is defined now, each once: a tick that has fired, or is filled again, does not run twice.
    """
    where = connections(data)
    view = await require(where, name)
    from_ms, to_ms = floor_ms(from_), floor_ms(to)
    if to_ms > now_ms():
        raise typer.BadParameter(f"TO {rfc3339(to_ms)} lies ahead; those ticks fire by themselves")
    if from_ms > to_ms:
        raise typer.BadParameter(f"FROM {rfc3339(from_ms)} is after TO {rfc3339(to_ms)}; exchange them")
    found: list[int] = []
    for tick in ticks_between(view.defined.plan, from_ms, to_ms):
        found.append(tick)
        if len(found) > BACKFILL_MAX:
            fail(f"the range has more than {BACKFILL_MAX} ticks, the last below {rfc3339(tick)}: narrow it")
    routes = where.routes if dry_run else await epoch_routes(where)
    records = [tick_record(routes, view.defined, view.defined.plan, tick) for tick in found]
    if not dry_run:
        await append_jobs(where, records)
    if as_json:
        listed = zip(found, records, strict=True)
        show_json(
            [{"tick": rfc3339(tick), "job_id": (record.key or b"").decode()} for tick, record in listed]
        )
        return
    for tick in found if dry_run else ():
        say(rfc3339(tick))
    did = "in the range" if dry_run else "submitted; those that had fired do not run again"
    say(f"{len(found)} ticks {did}")


async def _write(where: Connections, defined: Defined) -> int:
    try:
        check_size(where.routes, defined)
    except UnsettledError as error:
        raise EditError(str(error)) from error
    return await write(where, defined)


def _whoami() -> str:
    return f"cli:{getpass.getuser()}"
