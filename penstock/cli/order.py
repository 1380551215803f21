"""``penstock order``: which ordering keys are busy, who waits, and letting a blocked one go on."""

import getpass
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from adapters.kafka.admin import require_epoch
from core.gates.gate import Gate
from core.gates.order_gate import KeyReleased, OrderGate, key_text
from core.gates.order_image import Holder
from core.log import TopicPartition
from penstock.cli.appending import append_once
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.reading import reading, require_topics
from penstock.identity import gate_home
from ports.gate_snapshots import GateSnapshots
from schemas.gate_logs import GateLogs
from schemas.gates import key_released_record

POLL_S = 0.5
_COLUMNS = ("tenant", "key", "state", "job", "dispatch", "waiting")
_QUEUE_COLUMNS = ("place", "job", "dispatch")

Key = Annotated[str, typer.Argument(metavar="KEY", help="The ordering key.")]
Tenant = Annotated[str, typer.Option(help="Whose key it is.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Show ordering keys that are busy, or let a blocked one go on."
    )
    group.command("list")(list_)
    group.command("show")(show)
    group.command("release")(release)
    app.add_typer(group, name="order")


@command
async def list_(
    blocked: Annotated[bool, typer.Option("--blocked", help="Only keys that a dead job blocks.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Only keys of this tenant.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List the keys that are busy: a job of theirs may run, or a dead one blocks them."""
    where = connections(data)
    gates = await order_gates(where, range(where.routes.partitions))
    found = [_members(gate, holder) for gate in gates for holder in gate.holders()]
    found = [one for one in found if tenant in (None, one["tenant"]) and (not blocked or one["blocked"])]
    found.sort(key=lambda one: (not one["blocked"], -one["waiting"], one["tenant"], one["key"]))
    if as_json:
        show_json(found)
        return
    show_table(_COLUMNS, [_cells(one) for one in found])


@command
async def show(
    key: Key,
    tenant: Tenant = "default",
    limit: Annotated[int, typer.Option(min=1, help="Show so many of those that wait.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show what one key is busy with, and who waits for it, the next one first."""
    gate, holder = await _busy(connections(data), tenant, key)
    waiting = gate.waiting(holder.entry.key)
    found = _members(gate, holder)
    if as_json:
        some = [{"job_id": entry.job_id, "dispatch": entry.n} for entry in waiting[:limit]]
        show_json(found | {"queue": some})
        return
    show_table(_COLUMNS, [_cells(found)])
    rows = [(place, entry.job_id, entry.n) for place, entry in enumerate(waiting[:limit], start=1)]
    show_table(_QUEUE_COLUMNS, rows)


@command
async def release(
    key: Key, tenant: Tenant = "default", as_json: JsonOption = False, data: DataOption = None
) -> None:
    """Let the next job of a key run although a dead one blocks it."""
    where = connections(data)
    _, holder = await _busy(where, tenant, key)
    entry = holder.entry
    if not holder.blocks:
        fail(f"key {key!r} is not blocked: job {entry.job_id} has not ended; `penstock cancel` ends it")
    released = KeyReleased(tenant, key, str(entry.place), by=f"cli:{getpass.getuser()}")
    await append_once(where, [key_released_record(where.routes, released)])
    if as_json:
        show_json({"tenant": tenant, "key": key, "released_from": entry.job_id, "by": released.by})
        return
    say(f"key {key!r} goes on; the dead job {entry.job_id} stays dead")


async def _busy(where: Connections, tenant: str, key: str) -> tuple[OrderGate, Holder]:
    number = gate_home(tenant, key, partitions=where.routes.partitions)
    (gate,) = await order_gates(where, [number])
    holder = gate.holder(key_text(tenant, key))
    if holder is None:
        fail(
            f"key {key!r} of tenant {tenant!r} is idle: no job of it runs or waits; `order list` shows others"
        )
    return gate, holder


async def order_gates(where: Connections, partitions: Iterable[int]) -> list[OrderGate]:
    """Fold the log of the order gate to its end, from the newest snapshots; asks no service."""
    routes = where.routes
    await require_topics(where.kafka, [routes.orders, routes.gate_snapshots])
    epoch = (await require_epoch(where.kafka, routes)).epoch
    logs = GateLogs(routes, epoch)
    places = [TopicPartition(routes.orders, number) for number in partitions]
    async with reading(where.kafka) as reader:
        await GateSnapshots(routes, epoch, logs, reader, "cli").restore(dict.fromkeys(places, 0))
        ends = await reader.end_offsets(places)
        await reader.assign({place: logs.next_offset(place) for place in places})
        while any(logs.next_offset(place) < end for place, end in ends.items()):
            for record in await reader.poll(POLL_S):
                logs.take(record)
    folds = [logs.folds(place.partition).gates[Gate.ORDER] for place in places]
    return [fold for fold in folds if isinstance(fold, OrderGate)]


def _members(gate: OrderGate, holder: Holder) -> dict[str, Any]:
    tenant, _, key = holder.entry.key.partition("\0")
    return {
        "tenant": tenant,
        "key": key,
        "blocked": holder.blocks,
        "job_id": holder.entry.job_id,
        "dispatch": holder.entry.n,
        "waiting": len(gate.waiting(holder.entry.key)),
    }


def _cells(found: dict[str, Any]) -> tuple[object, ...]:
    state = "blocked" if found["blocked"] else "busy"
    return found["tenant"], found["key"], state, found["job_id"], found["dispatch"], found["waiting"]
