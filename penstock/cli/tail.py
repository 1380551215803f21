"""``penstock tail``: follow a topic, by default the ledger, one line an event."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any

import orjson
import typer

from core.log import Record
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, say, show_json
from penstock.cli.describe import clock, describe
from penstock.cli.reading import follow, partitions_of, reading, require_topics
from penstock.identity import home
from schemas.codec import decode_if_note, decode_if_verdict
from schemas.topics import RouteMap

TEXT_MAX_CHARS = 300


@command
async def tail(
    topic: Annotated[
        str, typer.Option(help="events (the ledger), jobs, rejected, ready, dlq, dead, ... or a full name.")
    ] = "events",
    job: Annotated[str | None, typer.Option(help="Only this job.", metavar="JOB")] = None,
    last: Annotated[int, typer.Option(min=0, help="First so many old records of each partition.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Follow what happens to jobs.

    Until Ctrl-C; --topic follows another topic than the ledger, --json prints an object a line. The
    ledger is shown as it was written: a verdict may come too late to hold (`penstock get` says).
    """
    where = connections(data)
    routes = where.routes
    name = full_name(routes, topic)
    line = _json_line if as_json else _line_of(routes, name)
    shown = 0
    try:
        async with aclosing(_records(where, name, job, last)) as records:
            async for record in records:
                line(record)
                shown += 1
                if shown == count:
                    return
    except asyncio.CancelledError:
        # Ctrl-C is how a person ends it; the task is not cancelled by anybody else.
        return


def full_name(routes: RouteMap, topic: str) -> str:
    """Give the topic a person means: a full name, or one without prefix and ``jobs.``.

    Raises
    ------
    typer.BadParameter
        The pipeline has no such topic.
    """
    names = [spec.name for spec in routes.specs()]
    for candidate in (topic, f"{routes.prefix}{topic}", f"{routes.prefix}jobs.{topic}"):
        if candidate in names:
            return candidate
    raise typer.BadParameter(f"there is no topic {topic!r}; `penstock topics` lists them")


async def _records(
    where: Connections, topic: str, job: str | None, last: int
) -> AsyncGenerator[Record, None]:
    routes = where.routes
    spec = next(spec for spec in routes.specs() if spec.name == topic)
    partitions = partitions_of(topic, spec.partitions)
    key: bytes | None = None
    if job is not None:
        job_id = _job_id(job)
        key = job_id.encode()
        partitions = [partitions[home(job_id, routes.partitions)]]
    await require_topics(where.kafka, [topic])
    async with reading(where.kafka) as reader:
        async for record in follow(reader, partitions, last):
            if key is None or record.key == key:
                yield record


def _job_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no job id; `penstock list` shows them") from None


def _line_of(routes: RouteMap, topic: str) -> Callable[[Record], None]:
    return _ledger_line if topic == routes.ledger else _plain_line


def _ledger_line(record: Record) -> None:
    event = decode_if_verdict(record) or decode_if_note(record)
    if event is None:
        # Other rules of the fold, or a note of a later version.
        _plain_line(record)
        return
    say(f"{clock(record.timestamp_ms)} {event.job_id} {describe(event, record.timestamp_ms)}")


def _plain_line(record: Record) -> None:
    kind = (record.header("kind") or b"").decode()
    value = "(null)" if record.value is None else record.value.decode(errors="replace")
    text = value if len(value) <= TEXT_MAX_CHARS else f"{value[:TEXT_MAX_CHARS]}…"
    say(
        " ".join(
            filter(None, (clock(record.timestamp_ms), f"{record.partition}/{record.offset}", kind, text))
        )
    )


def _json_line(record: Record) -> None:
    show_json(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": None if record.key is None else record.key.decode(errors="replace"),
            "headers": {name: (value or b"").decode(errors="replace") for name, value in record.headers},
            "value": _json_value(record.value),
        }
    )


def _json_value(value: bytes | None) -> Any:
    """Give JSON as it is, and anything else as text."""
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode(errors="replace")
