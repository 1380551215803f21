"""``penstock rejected``: records that were no valid job, why, and what they said."""

from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from core.ledger.notes import coordinate_text
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.reading import partitions_of, reading, require_topics, stretch
from penstock.cli.times import time_back
from schemas.rejected import RejectedRecord

_COLUMNS = ("coordinate", "at", "reason", "field", "message")
_MESSAGE_MAX_CHARS = 80
_decoder = msgspec.json.Decoder(RejectedRecord)


class Place(NamedTuple):
    """Partition and offset in ``jobs`` of a record that was rejected."""

    partition: int
    offset: int


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Show records that were not valid jobs.")
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="rejected")


@command
async def list_(
    reason: Annotated[str | None, typer.Option(help="Only this reason, such as unknown_field.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Submitted since: 1h (ago) or RFC 3339.", parser=time_back, metavar="TIME"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List rejected records, the newest first; `show` gives the original bytes."""
    since_ms = 0 if since is None else int(since.timestamp() * 1000)
    # Without a filter the newest of each partition are enough to find the newest of all.
    newest = limit if reason is None else None
    found = [
        record
        async for record in _rejected(connections(data), None, newest)
        if record.timestamp_ms >= since_ms and reason in (None, record.reason)
    ]
    found = sorted(found, key=lambda record: record.timestamp_ms, reverse=True)[:limit]
    if as_json:
        show_json([_members(record) for record in found])
        return
    show_table(_COLUMNS, [_cells(record) for record in found])


@command
async def show(
    coordinate: Annotated[str, typer.Argument(help="topic/partition/offset as `list` shows it.")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show a rejected record: why, the remedy, and the original as it was sent."""
    place = read_coordinate(coordinate)
    where = connections(data)
    if place.partition >= where.names.partitions:
        fail(f"there is no partition {place.partition}; the topics have {where.names.partitions}")
    async with aclosing(_rejected(where, place.partition, None)) as records:
        async for record in records:
            if (record.partition, record.offset) == place:
                _show(record, as_json=as_json)
                return
    fail(f"nothing was rejected at {coordinate}; `penstock rejected list` shows what was")


def read_coordinate(text: str) -> Place:
    """Read ``topic/partition/offset``, or the last two of them.

    Raises
    ------
    typer.BadParameter
        It is something else.
    """
    parts = text.split("/")[-2:]
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise typer.BadParameter(
            f"{text!r} is no coordinate: write topic/partition/offset, such as jobs/0/12"
        )
    return Place(int(parts[0]), int(parts[1]))


async def _rejected(
    where: Connections, partition: int | None, newest: int | None
) -> AsyncGenerator[RejectedRecord, None]:
    """Read rejected records; a refusal stands on the partition of its origin."""
    topic = where.routes.rejected
    await require_topics(where.kafka, [topic])
    partitions = partitions_of(topic, where.names.partitions)
    if partition is not None:
        partitions = [partitions[partition]]
    async with reading(where.kafka) as reader:
        async for record in stretch(reader, partitions, newest):
            yield _decoder.decode(record.value or b"{}")


def _show(record: RejectedRecord, *, as_json: bool) -> None:
    original = None if record.value_base64 is None else b64decode(record.value_base64)
    if as_json:
        members = _members(record)
        members |= {
            "value_base64": record.value_base64,
            "key_base64": record.key_base64,
            "headers_base64": record.headers_base64,
            "cut": record.cut,
        }
        show_json(members)
        return
    for name, value in _members(record).items():
        if value is not None:
            say(f"{name:14} {value}")
    if original is None:
        say("the record had no value")
        return
    say(f"original       {len(original)} of {record.value_bytes} bytes")
    say(readable(original))


def readable(original: bytes) -> str:
    """Write bytes for a terminal: text as it is without control characters, anything else escaped."""
    text = original.decode("utf-8", errors="backslashreplace")
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def _members(record: RejectedRecord) -> dict[str, Any]:
    return {
        "coordinate": coordinate_text(record.coordinate),
        "at": _at(record),
        "reason": record.reason,
        "field": record.field,
        "message": record.message,
        "remedy": record.remedy,
        "value_excerpt": record.value_excerpt,
        "value_bytes": record.value_bytes,
        "job_id": record.job_id,
    }


def _cells(record: RejectedRecord) -> tuple[object, ...]:
    message = record.message[:_MESSAGE_MAX_CHARS]
    return (
        coordinate_text(record.coordinate),
        f"{_at(record):%Y-%m-%d %H:%M:%S}",
        record.reason,
        record.field,
        message,
    )


def _at(record: RejectedRecord) -> datetime:
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
