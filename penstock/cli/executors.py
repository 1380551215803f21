"""``penstock executors``: who runs jobs, and asking one to finish and take no more."""

import getpass
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import typer

from adapters.kafka.admin import read_control
from core.log import NewRecord, Record
from penstock.cli.appending import append_once
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.reading import partitions_of, reading, require_topics, stretch
from penstock.cli.times import span
from schemas.codec import decode_executor_if_known, encode
from schemas.control import DrainRecord
from schemas.executors import Heartbeat
from schemas.standing_orders import StandingOrders

NEWEST_HEARTBEATS = 5000
"""At one heartbeat each three seconds, 100 executors of the last 2.5 minutes."""
_COLUMNS = (
    "instance",
    "boot id",
    "pool",
    "held",
    "stolen",
    "slots",
    "heartbeat",
    "state",
    "host",
    "pid",
    "version",
)


class Executor(NamedTuple):
    """What is known of one boot of an executor."""

    heartbeat: Heartbeat
    age_s: float
    """Since its last heartbeat, by this machine's clock against the broker's."""
    drain_asked: bool

    @property
    def state(self) -> str:
        """Whether it works; one silent for longer than its lease has lost what it held."""
        if self.heartbeat.goodbye:
            return "gone"
        if self.age_s > self.heartbeat.lease_s:
            return "silent"
        if self.heartbeat.draining or self.drain_asked:
            return "draining"
        return "alive"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="List or drain executors.")
    group.command("list")(list_)
    group.command("drain")(drain)
    app.add_typer(group, name="executors")


@command
async def list_(
    every: Annotated[bool, typer.Option("--all", help="Show those that are gone or silent, too.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List executors by their last heartbeat."""
    found = await known_executors(connections(data))
    if not every:
        found = [executor for executor in found if executor.state not in ("gone", "silent")]
    if as_json:
        show_json([_members(executor) for executor in found])
        return
    show_table(_COLUMNS, [_cells(executor) for executor in found])


@command
async def drain(
    instance: Annotated[str, typer.Argument(help="Name of the instance, as `list` shows it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it take jobs again.")] = False,
    data: DataOption = None,
) -> None:
    """Ask an executor to finish what it holds and to take no more; holds for its restarts, too."""
    where = connections(data)
    known = {executor.heartbeat.instance for executor in await known_executors(where)}
    if instance not in known and not undo:
        fail(f"no executor {instance!r}; known are: {', '.join(sorted(known)) or 'none'}")
    record = DrainRecord(instance, draining=not undo, by=f"cli:{getpass.getuser()}")
    key = f"drain/{instance}".encode()
    await append_once(where, [NewRecord(where.routes.control, 0, key, encode(record))])
    say(f"{instance} takes jobs again" if undo else f"asked {instance} to drain; `executors list` shows it")


async def known_executors(where: Connections) -> list[Executor]:
    """Give every boot that lately spoke by its last heartbeat, also those that are gone."""
    routes = where.routes
    await require_topics(where.kafka, [routes.executors, routes.control])
    orders = StandingOrders()
    for record in await read_control(where.kafka, routes):
        orders.take(record)
    async with reading(where.kafka) as reader:
        partitions = partitions_of(routes.executors, 1)
        records = [record async for record in stretch(reader, partitions, NEWEST_HEARTBEATS)]
    return last_heartbeats(records, orders.drains, time.time() * 1000)


def last_heartbeats(records: Iterable[Record], draining: Mapping[str, bool], now_ms: float) -> list[Executor]:
    """Give every boot by its last heartbeat, ordered by instance, the newest boot first."""
    last: dict[str, tuple[Heartbeat, int]] = {}
    for record in records:
        message = decode_executor_if_known(record)
        if isinstance(message, Heartbeat):
            last[message.executor] = (message, record.timestamp_ms)
    executors = [
        Executor(heartbeat, max(0.0, (now_ms - at_ms) / 1000), draining.get(heartbeat.instance, False))
        for heartbeat, at_ms in last.values()
    ]
    return sorted(executors, key=lambda executor: (executor.heartbeat.instance, executor.age_s))


def _members(executor: Executor) -> dict[str, Any]:
    heartbeat = executor.heartbeat
    return {
        "instance": heartbeat.instance,
        "boot_id": heartbeat.executor,
        "pool": heartbeat.pool,
        "held": list(heartbeat.held),
        "stolen": heartbeat.stolen,
        "slots": heartbeat.slots,
        "heartbeat_age_s": round(executor.age_s, 3),
        "state": executor.state,
        "drain_asked": executor.drain_asked,
        "types": list(heartbeat.types),
        "host": heartbeat.host,
        "pid": heartbeat.pid,
        "version": heartbeat.version,
    }


def _cells(executor: Executor) -> tuple[object, ...]:
    heartbeat = executor.heartbeat
    return (
        heartbeat.instance,
        heartbeat.executor,
        heartbeat.pool,
        len(heartbeat.held),
        heartbeat.stolen,
        heartbeat.slots,
        span(executor.age_s),
        executor.state,
        heartbeat.host,
        heartbeat.pid,
        heartbeat.version,
    )
