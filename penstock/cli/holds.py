"""``penstock pause``, ``resume``, ``paused``, ``limit`` and ``limits``: what may run, and how often."""

import getpass
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from adapters.kafka.admin import read_control, require_epoch
from core.held import HeldFold
from core.limits import default_burst
from core.log import NewRecord, TopicPartition
from core.subjects import Cause, HeldFor, Scope, Subject
from penstock.cli.appending import append_once
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.reading import reading, require_topics
from ports.held_marks import HeldMarkLog
from schemas.control import LimitRecord, PauseRecord
from schemas.held import fold_held
from schemas.standing_orders import Standing, StandingOrders, limit_record, pause_record

QUIET_S = 2.0
RATE_MIN_PER_S, RATE_MAX_PER_S = 1 / 86_400, 1_000_000
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")
_PER_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


class LimitScope(StrEnum):
    """What can be limited: a pool is limited by its slots."""

    TYPE = "type"
    TENANT = "tenant"


ScopeArgument = Annotated[Scope, typer.Argument(help="What the name is of.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The type, tenant or pool.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("paused")(paused)
    app.command("limit")(limit)
    app.command("limits")(limits)


@command
async def pause(
    scope: ScopeArgument,
    name: NameArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; for people.")] = "",
    data: DataOption = None,
) -> None:
    """Let nothing of a type, tenant or pool start until it is resumed.

    Running jobs go on. What is held uses up no attempt; it can be cancelled, and it expires.
    """
    where = connections(data)
    _check_name(where, scope, name)
    record = PauseRecord(scope, name, paused=True, reason=reason, by=me())
    await append_order(where, pause_record(where.routes, record))
    say(f"paused {scope} {name}: what runs goes on; `penstock resume {scope} {name}` lets the rest start")


@command
async def resume(scope: ScopeArgument, name: NameArgument, data: DataOption = None) -> None:
    """Let what was paused start again."""
    where = connections(data)
    orders = await standing_orders(where)
    if Subject(scope, name) not in orders.pauses:
        known = ", ".join(f"{one.scope} {one.name}" for one in sorted(orders.pauses)) or "nothing"
        fail(f"{scope} {name!r} is not paused; paused is: {known}")
    await append_order(where, pause_record(where.routes, PauseRecord(scope, name, paused=False, by=me())))
    say(f"resumed {scope} {name}")


@command
async def paused(as_json: JsonOption = False, data: DataOption = None) -> None:
    """List what is paused, and how many jobs are held for it."""
    where = connections(data)
    orders = await standing_orders(where)
    held = await held_counts(where)
    rows = [
        _pause_row(subject, standing, held[str(HeldFor(Cause.PAUSE, subject))])
        for subject, standing in sorted(orders.pauses.items())
    ]
    if as_json:
        show_json(rows)
        return
    show_table(tuple(rows[0]) if rows else ("scope", "name"), [tuple(row.values()) for row in rows])


@command
async def limit(
    scope: Annotated[LimitScope, typer.Argument(help="What the name is of.")],
    name: NameArgument,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Like 50/s, 10/m or 100/h; off: no limit.")],
    burst: Annotated[
        float | None,
        typer.Option("--burst", min=1, help="Starts at once after a time without any; a quarter second's."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Let jobs of a type or tenant start no more often than this.

    All executors share the rate. What has to wait is no failure, and holds up nothing else.
    """
    where = connections(data)
    subject = Subject(Scope(scope), name)
    _check_name(where, subject.scope, name)
    if rate == "off":
        if subject not in (await standing_orders(where)).limit_records:
            fail(f"{scope} {name!r} has no limit; `penstock limits` lists what has")
        record = LimitRecord(subject.scope, name, None, by=me())
    else:
        per_s = rate_per_s(rate)
        record = LimitRecord(subject.scope, name, per_s, burst or default_burst(per_s), by=me())
    await append_order(where, limit_record(where.routes, record))
    say(f"{scope} {name} has no limit any more" if rate == "off" else f"limited {scope} {name} to {rate}")


@command
async def limits(as_json: JsonOption = False, data: DataOption = None) -> None:
    """List rate limits, and how many jobs are held for them."""
    where = connections(data)
    orders = await standing_orders(where)
    held = await held_counts(where)
    rows = [
        {
            "scope": str(subject.scope),
            "name": subject.name,
            "rate": rate_text(one.rate_per_s or 0.0),
            "rate_per_s": one.rate_per_s,
            "burst": one.burst,
            "held": held[str(HeldFor(Cause.LIMIT, subject))],
            "by": one.by,
        }
        for subject, one in sorted(orders.limit_records.items())
    ]
    if as_json:
        show_json(rows)
        return
    columns = ("scope", "name", "rate", "burst", "held", "by")
    show_table(columns, [tuple(row[column] for column in columns) for row in rows])


def rate_per_s(text: str) -> float:
    """Read ``50/s``, ``10/m`` or ``100/h``; ends the command when it is something else."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        fail(
            f"RATE is {text!r}: write a number per second, minute or hour, like 50/s, 10/m or 100/h, or off",
            2,
        )
    per_s = float(match[1]) / _PER_S[match[2]]
    if not RATE_MIN_PER_S <= per_s <= RATE_MAX_PER_S or not math.isfinite(per_s):
        fail(
            f"RATE is {text!r}: between one a day and {RATE_MAX_PER_S:,} a second are possible; "
            "`penstock pause` stops everything",
            2,
        )
    return per_s


def rate_text(per_s: float) -> str:
    """Write a rate in the unit in which it is at least 1, or per hour."""
    for unit, length_s in _PER_S.items():
        if per_s * length_s >= 1:
            return f"{round(per_s * length_s, 3):g}/{unit}"
    return f"{round(per_s * 3600, 6):g}/h"


def _pause_row(subject: Subject, standing: Standing, held: int) -> dict[str, Any]:
    return {
        "scope": str(subject.scope),
        "name": subject.name,
        "since": datetime.fromtimestamp(standing.since_ms / 1000, UTC).isoformat(timespec="seconds"),
        "held": held,
        "by": standing.record.by,
        "reason": standing.record.reason,
    }


def _check_name(where: Connections, scope: Scope, name: str) -> None:
    if not name:
        fail("NAME is empty", 2)
    if scope is Scope.POOL and name not in where.routes.pools:
        fail(f"there is no pool {name!r}; PENSTOCK_POOLS names {', '.join(where.routes.pools)}", 2)


def me() -> str:
    """Say who types, for what people order."""
    return f"cli:{getpass.getuser()}"


async def append_order(where: Connections, record: NewRecord) -> None:
    """Append one order to ``control``."""
    await require_topics(where.kafka, [where.routes.control])
    await append_once(where, [record])


async def standing_orders(where: Connections) -> StandingOrders:
    """Give what is ordered now; asks no service."""
    await require_topics(where.kafka, [where.routes.control])
    orders = StandingOrders()
    for record in await read_control(where.kafka, where.routes):
        orders.take(record)
    return orders


@asynccontextmanager
async def _marks(where: Connections, epoch: str) -> AsyncIterator[HeldMarkLog]:
    async with reading(where.kafka) as reader:
        yield HeldMarkLog(where.routes, epoch, reader)


async def held_counts(where: Connections) -> Counter[str]:
    """Give how many jobs are held, by what for."""
    counts: Counter[str] = Counter()
    for fold in (await held_folds(where)).values():
        counts.update(fold.counts())
    return counts


async def held_folds(where: Connections) -> dict[int, HeldFold]:
    """Fold ``jobs.held`` to its end, by partition: from the marks on, as the scheduler does."""
    routes = where.routes
    await require_topics(where.kafka, [routes.held, routes.held_marks])
    epoch = await require_epoch(where.kafka, routes)
    async with _marks(where, epoch.epoch) as marks, reading(where.kafka) as reader:
        places = [TopicPartition(routes.held, number) for number in range(routes.partitions)]
        folds = {place: await marks.restored(place.partition) for place in places}
        ends = await reader.end_offsets(places)
        await reader.assign({place: fold.next_offset for place, fold in folds.items()})
        while any(fold.next_offset < ends[place] for place, fold in folds.items()):
            records = await reader.poll(QUIET_S)
            if not records:
                break
            for record in records:
                fold_held(folds[TopicPartition(record.topic, record.partition)], record)
    return {place.partition: fold for place, fold in folds.items()}
