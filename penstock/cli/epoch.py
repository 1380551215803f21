"""``penstock epoch``: which incarnation of the topics holds, and beginning a new one after a drain."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import psycopg
import typer

from adapters.kafka.admin import EpochError, read_epoch, write_epoch
from adapters.kafka.cluster import describe_topics
from adapters.kafka.drained import RUNNING, ledger_ends, not_drained
from adapters.kafka.new_epoch import begin, finish, give_up
from adapters.postgres.refold import STAGE
from core.epoch import Change, ClusterView, Difference, NotDrained, differences
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json
from penstock.cli.queries import CONNECT_TIMEOUT_S
from schemas.control import EpochRecord
from schemas.topics import RouteMap

LOOK_AGAIN_S = 1.0
EXAMPLES = 3

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Show the epoch of the topics, or begin a new one.")
    group.command("show")(show)
    group.command("new")(new)
    group.command("accept")(accept)
    group.command("forget")(forget)
    app.add_typer(group, name="epoch")


@command
async def show(as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show the epoch, and what speaks against running on these topics."""
    where = connections(data)
    epoch, routes, view, changed = await _look(where)
    if epoch is None:
        fail(f"no epoch in topic {routes.control}: run `penstock up` once, or `python -m adapters.prepare`")
    members = _members(epoch, view, changed)
    if as_json:
        show_json(members)
        return
    for name, value in members.items():
        say(f"{name.replace('_', ' '):<14}{_shown(value)}")


def _members(epoch: EpochRecord, view: ClusterView, changed: Sequence[Difference]) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "state": "half made" if epoch.making else "made",
        "partitions": epoch.partitions,
        "generation": epoch.generation,
        "fold_version": epoch.fold_version,
        "created_at": datetime.fromtimestamp(epoch.created_ms / 1000, UTC),
        "cluster_id": epoch.cluster_id or view.cluster_id,
        "topics": len(epoch.topics),
        "before": list(epoch.before),
        "problems": [difference.text for difference in changed],
    }


def _shown(value: object) -> str:
    match value:
        case list():
            return "; ".join(map(str, value)) or "none"
        case datetime():
            return value.isoformat(timespec="seconds")
        case _:
            return str(value)


@command
async def accept(as_json: JsonOption = False, data: DataOption = None) -> None:
    """Go on with partitions that somebody added to topics of the epoch.

    Jobs do not move: their home depends on the configured count alone. What else changed is refused.
    """
    where = connections(data)
    epoch, routes, view, changed = await _look(where)
    if epoch is None or epoch.making:
        fail("there is no whole epoch; look with `penstock epoch show`")
    other = [one for one in changed if one.change is not Change.REPARTITIONED]
    if other:
        fail("; ".join(one.text for one in other))
    if changed:
        marks = {name: view.topics.get(name, mark) for name, mark in epoch.topics.items()}
        await write_epoch(where.kafka, routes, msgspec.structs.replace(epoch, topics=marks))
    if as_json:
        show_json({"epoch": epoch.epoch, "accepted": [one.text for one in changed]})
    else:
        say("\n".join(one.text for one in changed) + "\naccepted" if changed else "nothing has changed")


@command
async def forget(
    name: Annotated[str, typer.Argument(metavar="EPOCH", help="Epoch whose topics are gone for good.")],
    yes: YesOption = False,
    data: DataOption = None,
) -> None:
    """Let a database go on that was filled from other topics; their rows stay as they are."""
    where = connections(data)
    epoch = await read_epoch(where.kafka, where.routes)
    if epoch is not None and name == epoch.epoch:
        fail(f"{name} is the epoch of these topics: its positions are needed")
    if not yes:
        if not sys.stdin.isatty():
            fail("the rows of that epoch will never change again: repeat with --yes", code=2)
        typer.confirm(f"let the rows of epoch {name} stay as they are for ever?", abort=True)
    async with await psycopg.AsyncConnection.connect(
        where.database.conninfo, connect_timeout=CONNECT_TIMEOUT_S
    ) as database:
        cursor = await database.execute(_FORGET, (name,))
    if not cursor.rowcount:
        fail(f"the tables hold nothing of an epoch {name}")
    say(f"forgot how far epoch {name} was; its rows stay")


_FORGET = "DELETE FROM stage_offsets WHERE epoch = %s"


@command
async def new(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of the new epoch; by default as many as now.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="S", help="Wait so long for everything to end.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is not over yet.")] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up jobs that are still open or unread, for good.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Begin a new epoch on the same topic names, after a drain.

    Drain: stop the producers, let `penstock lag` come to 0 and every job end, then stop all services
    (Kafka and Postgres stay). The topics of work, the ledger, snapshots and heartbeats are deleted and
    made anew; jobs, jobs.rejected, jobs.dead, jobs.outcomes and control stay, and so do the rows in
    Postgres. Keys and ids that were used may be used again. Interrupted, run it again: it goes on.
    """
    where = connections(data)
    epoch, routes, view, _ = await _look(where)
    if epoch is not None and epoch.making:
        if partitions not in (None, epoch.partitions):
            fail(
                f"epoch {epoch.epoch} is half made with {epoch.partitions} partitions: finish that first, "
                "without --partitions"
            )
        making = epoch
    else:
        if epoch is None and not abandon:
            fail(
                f"no epoch in topic {routes.control}: nothing to end. If that topic was deleted, --abandon "
                "gives up what was under way"
            )
        left = await _drained(where, routes, epoch, view, wait)
        await _refuse_or_ask(left, epoch, abandon=abandon, dry_run=dry_run, yes=yes, as_json=as_json)
        making = await _begin(where, routes, epoch, partitions or routes.partitions, abandon=abandon)
    made = await finish(where.kafka, routes, making, where.names.replication, _reporter(as_json=as_json))
    _tell(made, where, as_json=as_json)


async def _look(
    where: Connections,
) -> tuple[EpochRecord | None, RouteMap, ClusterView, list[Difference]]:
    """Give the epoch, the routes with its partition count, the topics as they are, and what differs."""
    epoch = await read_epoch(where.kafka, where.routes)
    routes = where.routes
    if epoch is not None and not epoch.making:
        routes = replace(routes, partitions=epoch.partitions)
    names = {spec.name for spec in routes.specs()}
    view = await describe_topics(where.kafka, names | (epoch.topics.keys() if epoch else set()))
    if epoch is None or epoch.making:
        return epoch, routes, view, []
    return epoch, routes, view, differences(epoch.cluster_id, epoch.topics, view, names, epoch.epoch)


async def _drained(
    where: Connections, routes: RouteMap, epoch: EpochRecord | None, view: ClusterView, wait_s: float
) -> list[NotDrained]:
    """Look until nothing is left or the time is over; give what is left then."""
    if epoch is None:
        return []
    deadline = time.monotonic() + wait_s
    while True:
        left = await not_drained(where.kafka, routes, epoch, view.topics)
        if routes.ledger in view.topics:
            left += await _table_behind(where, epoch, await ledger_ends(where.kafka, routes))
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(LOOK_AGAIN_S)


async def _table_behind(where: Connections, epoch: EpochRecord, ends: dict[int, int]) -> list[NotDrained]:
    """Compare the table with the ledger, which will be gone."""
    try:
        async with await psycopg.AsyncConnection.connect(
            where.database.conninfo, connect_timeout=CONNECT_TIMEOUT_S
        ) as database:
            cursor = await database.execute(_POSITIONS, (STAGE, epoch.epoch))
            positions: dict[int, int] = dict(await cursor.fetchall())
    except psycopg.Error as error:
        return [NotDrained("database without an answer", f"({str(error).strip().partition(chr(10))[0]})", 1)]
    behind = {number: end - positions.get(number, 0) for number, end in ends.items()}
    late = {number: count for number, count in behind.items() if count > 0}
    if not late:
        return []
    examples = tuple(f"partition {number}: {count}" for number, count in sorted(late.items()))
    return [NotDrained("ledger records", "not in the table yet", sum(late.values()), examples[:EXAMPLES])]


_POSITIONS = "SELECT partition, next_offset FROM stage_offsets WHERE stage = %s AND epoch = %s"


async def _refuse_or_ask(
    left: list[NotDrained],
    epoch: EpochRecord | None,
    *,
    abandon: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Return when the epoch may end; otherwise end the command."""
    name = epoch.epoch if epoch else "(lost)"
    running = [one for one in left if one.what in RUNNING]
    if dry_run or running or (left and not abandon):
        if as_json:
            show_json({"epoch": name, "drained": not left, "left": [{**one._asdict()} for one in left]})
        else:
            say("\n".join(one.text for one in left) or f"epoch {name} is drained")
        if dry_run and not left:
            raise typer.Exit(0)
        fail(f"epoch {name} is not drained: {_remedy(running)}", code=1)
    if yes:
        return
    if not sys.stdin.isatty():
        fail(
            "a new epoch deletes the topics of work: repeat with --yes, or look first with --dry-run", code=2
        )
    lost = f" and give up {'; '.join(one.text for one in left)}" if left else ""
    typer.confirm(f"end epoch {name}{lost}, and begin a new one?", abort=True)


def _remedy(running: list[NotDrained]) -> str:
    if running:
        return "stop every service, then try again (Kafka and Postgres stay)"
    return "start the services until all is done, then stop them; or give up what is left with --abandon"


async def _begin(
    where: Connections, routes: RouteMap, epoch: EpochRecord | None, partitions: int, *, abandon: bool
) -> EpochRecord:
    """Write the intent, and look once more: what began before it was written is seen now."""
    making = await begin(where.kafka, routes, epoch, partitions)
    if epoch is None:
        return making
    view = await describe_topics(where.kafka, making.doomed.keys() | making.topics.keys())
    left = await not_drained(where.kafka, routes, epoch, view.topics)
    if any(one.what in RUNNING for one in left) or (left and not abandon):
        await give_up(where.kafka, routes, epoch, making)
        raise EpochError(f"not drained any more: {'; '.join(one.text for one in left)}; nothing was changed")
    return making


def _reporter(*, as_json: bool) -> Callable[[str], None]:
    return (lambda _: None) if as_json else say


def _tell(made: EpochRecord, where: Connections, *, as_json: bool) -> None:
    if as_json:
        show_json({"epoch": made.epoch, "partitions": made.partitions, "before": list(made.before)})
    elif made.partitions != where.names.partitions:
        say(f"set PENSTOCK_PARTITIONS to {made.partitions} for every service, client and command")
