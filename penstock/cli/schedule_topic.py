"""Reading and writing the topic ``schedules`` for people."""

import time
from collections.abc import Sequence
from dataclasses import replace

from adapters.kafka.admin import read_epoch
from core.log import NewRecord, TopicPartition
from penstock.cli.appending import appended_of, appending
from penstock.cli.connect import Connections
from penstock.cli.console import fail
from penstock.cli.reading import partitions_of, reading, require_topics, stretch
from schemas.schedule_book import ScheduleBook, View
from schemas.schedules import Defined, Deleted, decode_schedule, partition_of, schedule_record
from schemas.topics import SCHEDULE_PARTITIONS, RouteMap

BATCH = 500


async def read_book(where: Connections, name: str | None = None) -> ScheduleBook:
    """Read all schedules, or only the partition of one."""
    topic = where.routes.schedules
    await require_topics(where.kafka, [topic])
    wanted = (
        partitions_of(topic, SCHEDULE_PARTITIONS)
        if name is None
        else [TopicPartition(topic, partition_of(name))]
    )
    book = ScheduleBook()
    async with reading(where.kafka) as reader:
        async for record in stretch(reader, wanted):
            book.take([record])
    return book


async def require(where: Connections, name: str) -> View:
    """Give one schedule; ends the command when there is none."""
    book = await read_book(where)
    view = book.view(name)
    if view is None:
        fail(f"there is no schedule {name!r}; known are: {', '.join(book.names()) or 'none'}")
    return view


async def write(where: Connections, message: Defined | Deleted, after: Sequence[NewRecord] = ()) -> int:
    """Append a definition or its end; give its append time. Says when somebody else wrote meanwhile."""
    async with appending(where) as appender:
        (appended, *_) = await appended_of(appender, [schedule_record(where.routes, message), *after])
    await _say_overtaken(where, message, appended.offset)
    return appended.timestamp_ms


async def append_jobs(where: Connections, records: Sequence[NewRecord]) -> None:
    """Append records of ``jobs``, in batches."""
    async with appending(where) as appender:
        for first in range(0, len(records), BATCH):
            await appended_of(appender, records[first : first + BATCH])


async def epoch_routes(where: Connections) -> RouteMap:
    """Give the routes with the partition count that the epoch has; ends the command when there is none."""
    epoch = await read_epoch(where.kafka, where.routes)
    if epoch is None:
        fail(f"no epoch in topic {where.routes.control}: run `penstock up` once")
    return replace(where.routes, partitions=epoch.partitions)


async def _say_overtaken(where: Connections, message: Defined | Deleted, offset: int) -> None:
    """Look for a record of somebody else between what this one was made from and this one.

    The last record of a schedule counts, so what this one replaced unseen is undone.
    """
    place = TopicPartition(where.routes.schedules, partition_of(message.name))
    found: Defined | Deleted | None = None
    async with reading(where.kafka) as reader:
        async for record in stretch(reader, [place]):
            if record.value is None or record.offset >= offset:
                continue
            other = decode_schedule(record)
            if isinstance(other, Defined | Deleted) and other.name == message.name:
                found = other
    if found is not None and found.version >= message.version and found.incarnation == message.incarnation:
        fail(
            f"{found.by or 'somebody'} changed schedule {message.name} at the same time: this change "
            f"replaced theirs, version {found.version}; look with `penstock schedule show {message.name}`"
        )


def now_ms() -> int:
    """Give the time by this machine's clock, to show and to check what was typed; nothing fires by it."""
    return int(time.time() * 1000)
