"""``penstock circuits``: what is down, what waits for it, and opening and closing by hand."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from core.breaker import BY_HAND_MS, State, closed, opened
from core.dependencies import AT
from core.subjects import Cause, HeldFor
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.holds import append_order, held_counts, me, rate_text, standing_orders
from schemas.control import CircuitRecord
from schemas.standing_orders import circuit_of_record, circuit_record, circuit_subject, record_of_circuit

COLUMNS = ("name", "state", "since", "lets_through", "held", "uses", "reason")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A type, or http.request@HOST for one host of webhooks.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; for people.")]
AllOption = Annotated[bool, typer.Option("--all", help="Also those that are closed again.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        invoke_without_command=True,
        no_args_is_help=False,
        help="Show what is down and how many jobs wait for it; open and close circuits by hand.",
    )
    group.callback()(_default)
    group.command("open")(open_circuit)
    group.command("close")(close_circuit)
    app.add_typer(group, name="circuits")


def _default(
    context: typer.Context, show_all: AllOption = False, as_json: JsonOption = False, data: DataOption = None
) -> None:
    """Show circuits that are open or recover: since when, why, what they let through, and what waits."""
    if context.invoked_subcommand is None:
        show(show_all, as_json, data)


@command
async def show(show_all: bool, as_json: bool, data: DataOption) -> None:
    """List circuits."""
    where = connections(data)
    orders, held = await standing_orders(where), await held_counts(where)
    rows = [
        _row(one, held[str(HeldFor(Cause.LIMIT, circuit_subject(name)))])
        for name, one in sorted(orders.circuits.items())
        if show_all or one.state is not State.CLOSED
    ]
    if as_json:
        show_json(rows)
        return
    show_table(COLUMNS, [tuple(row[column] for column in COLUMNS) for row in rows])


@command
async def open_circuit(name: NameArgument, reason: ReasonOption = "", data: DataOption = None) -> None:
    """Let jobs of a type, or for one host, through as probes alone until these succeed.

    What waits uses up no attempt. `penstock pause` holds them until a resume, whatever happens.
    """
    where = connections(data)
    before = (await _circuits(where, name)).get(name)
    usual_per_s = 0.0 if before is None else before.usual_per_s
    circuit = opened(circuit_of_record(before), usual_per_s, reason or "opened by hand", _now_ms())
    await _say(where, record_of_circuit(name, circuit, () if before is None else before.uses, me()))
    say(f"opened {name}: one job in {1 / circuit.rate_per_s:.0f} s is let through, until one succeeds")


@command
async def close_circuit(name: NameArgument, reason: ReasonOption = "", data: DataOption = None) -> None:
    """Let everything through again at once; it is not opened again by itself for a minute."""
    where = connections(data)
    circuits = await _circuits(where, name)
    before = circuits.get(name)
    if before is None or before.state is State.CLOSED:
        known = sorted(one.name for one in circuits.values() if one.state is not State.CLOSED)
        fail(f"the circuit {name!r} is closed; open or recovering are: {', '.join(known) or 'none'}")
    circuit = closed(circuit_of_record(before), reason or "closed by hand", _now_ms(), BY_HAND_MS)
    await _say(where, record_of_circuit(name, circuit, before.uses, me()))
    say(f"closed {name}: what waited is handed on, oldest first")


async def _circuits(where: Connections, name: str) -> dict[str, CircuitRecord]:
    """Give all circuits by name, for a command about the one of this name."""
    if not name or name.startswith(AT) or name.endswith(AT):
        fail(f"NAME is {name!r}: write a type, or http.request@HOST", 2)
    return (await standing_orders(where)).circuits


async def _say(where: Connections, record: CircuitRecord) -> None:
    await append_order(where, circuit_record(where.routes, record))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _row(one: CircuitRecord, held: int) -> dict[str, Any]:
    is_closed = one.state is State.CLOSED
    return {
        "name": one.name,
        "state": str(one.state),
        "since": datetime.fromtimestamp(one.since_ms / 1000, UTC).isoformat(timespec="seconds"),
        "lets_through": "all" if is_closed else lets_through(one),
        "rate_per_s": None if is_closed else one.rate_per_s,
        "held": held,
        "uses": ", ".join(one.uses),
        "reason": one.reason,
        "by": one.by,
        "trips": one.trips,
    }


def lets_through(one: CircuitRecord) -> str:
    """Say how much a circuit lets through: ``a probe every 20 s``, or the rate it has grown to."""
    if one.state is State.OPEN:
        return f"a probe every {1 / one.rate_per_s:.0f} s"
    return rate_text(one.rate_per_s)
