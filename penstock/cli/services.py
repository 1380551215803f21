"""``penstock services``: which instances run, and whose wall clock is wrong."""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import typer

from adapters.kafka.admin import read_control
from core.log import Record
from core.wall_clock import SILENT_AFTER_S, is_wrong
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, say, show_json, show_table
from penstock.cli.learned import LATE_S, describe_lag, features_lag_s
from penstock.cli.reading import require_topics
from penstock.cli.times import span
from schemas.codec import decode_control
from schemas.control import PresenceRecord

_COLUMNS = ("service", "instance", "wall clock", "announced", "host", "pid", "version", "metrics")


class Instance(NamedTuple):
    """What an instance last announced."""

    presence: PresenceRecord
    skew_s: float
    """Its wall clock minus the broker's."""
    age_s: float
    """Since then, by this machine's clock against the broker's."""

    @property
    def clock_is_wrong(self) -> bool:
        """Whether its wall clock is further off than a slow answer of the broker explains."""
        return is_wrong(self.skew_s)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("services")(services)


@command
async def services(as_json: JsonOption = False, data: DataOption = None) -> None:
    """List running instances, and whose wall clock is wrong.

    As each announced it at its start, every ten minutes, and whenever its clock moved; one that was silent
    for 25 minutes is left out. Due times use the broker's clock, never these. Said besides: that
    what is known of tenants and types is late.
    """
    where = connections(data)
    found = await running_instances(where)
    if as_json:
        show_json([_members(one) for one in found])
        return
    show_table(_COLUMNS, [_cells(one) for one in found])
    if (behind_s := await features_lag_s(where)) > LATE_S:
        say(describe_lag(behind_s))


async def running_instances(where: Connections) -> list[Instance]:
    """Give the instances that announced themselves lately, by service and name."""
    await require_topics(where.kafka, [where.routes.control])
    return instances(await read_control(where.kafka, where.routes), time.time() * 1000)


def instances(records: Iterable[Record], now_ms: float) -> list[Instance]:
    """Give the last word of every instance that is not silent."""
    last: dict[str, Instance] = {}
    for record in records:
        if record.value is None or not (record.key or b"").startswith(b"presence/"):
            continue
        message = decode_control(record)
        if isinstance(message, PresenceRecord):
            last[message.instance] = _instance(message, record.timestamp_ms, now_ms)
    alive = [one for one in last.values() if one.age_s <= SILENT_AFTER_S]
    return sorted(alive, key=lambda one: (one.presence.service, one.presence.instance))


def _instance(presence: PresenceRecord, at_ms: int, now_ms: float) -> Instance:
    skew_ms = presence.wall_ms - at_ms if presence.skew_ms is None else presence.skew_ms
    return Instance(presence, skew_ms / 1000, max(0.0, (now_ms - at_ms) / 1000))


def describe_skew(skew_s: float) -> str:
    """Write how far a clock is off: ``right``, ``7200.1 s ahead``, ``12.0 s behind``."""
    if not is_wrong(skew_s):
        return "right"
    return f"{abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}"


def _members(one: Instance) -> dict[str, Any]:
    presence = one.presence
    return {
        "service": presence.service,
        "instance": presence.instance,
        "clock": "wrong" if one.clock_is_wrong else "right",
        "skew_s": round(one.skew_s, 3),
        "announced_s": round(one.age_s, 3),
        "host": presence.host,
        "pid": presence.pid,
        "version": presence.version,
        "metrics_port": presence.metrics_port,
    }


def _cells(one: Instance) -> tuple[object, ...]:
    presence = one.presence
    return (
        presence.service,
        presence.instance,
        describe_skew(one.skew_s),
        span(one.age_s),
        presence.host,
        presence.pid,
        presence.version,
        presence.metrics_port,
    )
