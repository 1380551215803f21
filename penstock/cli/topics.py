"""``penstock topics`` and ``penstock lag``: what stands in Kafka, and who is how far behind."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import typer
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.reader import KafkaReader
from core.log import TopicPartition
from core.retention import Reason, mark_of, reader_holds
from core.services import SERVICES
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, show_json, show_table
from penstock.cli.reading import existing_topics, partitions_of, reading
from ports.retention import Bounds
from schemas.topics import FOREVER_MS, RouteMap, TopicSpec

_TOPIC_COLUMNS = ("topic", "partitions", "records", "kept", "held back by", "written by", "read by")
NOT_CONFIGURED = "its pool is not in PENSTOCK_POOLS"
_LAG_COLUMNS = ("group", "topic", "committed", "end", "lag")

Committed = dict[str, dict[TopicPartition, int]]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("topics")(topics)
    app.command("lag")(lag)


@command
async def topics(as_json: JsonOption = False, data: DataOption = None) -> None:
    """List the topics of the pipeline.

    With how much stands in each, who writes and who reads it, and which group holds back its trimming
    by how many records in one partition. Records are counted by offsets, so compacted topics hold fewer
    than shown.
    """
    where = connections(data)
    existing = await existing_topics(where.kafka)
    specs = [*where.routes.specs(), *removed_pools(where.routes, existing)]
    committed = await _committed(where)
    async with reading(where.kafka) as reader:
        bounds = await _bounds(reader, [spec for spec in specs if spec.name in existing])
    held = held_back(where.routes, bounds, committed)
    rows = [_topic_row(spec, bounds, held.get(spec.name, "")) for spec in specs]
    if as_json:
        show_json(rows)
        return
    show_table(
        _TOPIC_COLUMNS, [["missing" if cell is None else cell for cell in row.values()] for row in rows]
    )


def removed_pools(routes: RouteMap, existing: Collection[str]) -> list[TopicSpec]:
    """Describe the execution topics of pools that are not configured any more: nothing trims them."""
    known = {spec.name for spec in routes.specs()}
    start = routes.execution("", 0).partition("..")[0] + "."
    return [
        TopicSpec(name, routes.partitions, FOREVER_MS, "nobody", f"nobody: {NOT_CONFIGURED}")
        for name in sorted(existing)
        if name.startswith(start) and name not in known
    ]


async def _bounds(reader: KafkaReader, specs: Sequence[TopicSpec]) -> dict[TopicPartition, Bounds]:
    """Ask where the partitions of all topics begin and end.

    For all at once: aiokafka takes 0.1 s to learn of a topic, one after the other within a call.
    """
    places = [partitions_of(spec.name, spec.partitions) for spec in specs]
    starts = await asyncio.gather(*map(reader.start_offsets, places))
    ends = await asyncio.gather(*map(reader.end_offsets, places))
    return {
        place: Bounds(start[place], end[place])
        for start, end in zip(starts, ends, strict=True)
        for place in start
    }


def held_back(
    routes: RouteMap, bounds: Mapping[TopicPartition, Bounds], committed: Committed
) -> dict[str, str]:
    """Name, for topics that are trimmed, the group that has most still to read, and how many records."""
    readers, worst = routes.readers(), dict[str, tuple[int, str]]()
    for place, (start, end) in bounds.items():
        hold = mark_of(end, reader_holds(place, readers.get(place.topic, ()), committed))
        behind = end - max(start, hold.offset)
        if hold.reason is Reason.READER and behind > worst.get(place.topic, (0, ""))[0]:
            worst[place.topic] = (behind, hold.holder)
    return {topic: f"{holder} ({behind})" for topic, (behind, holder) in worst.items()}


def _topic_row(spec: TopicSpec, bounds: Mapping[TopicPartition, Bounds], held: str) -> dict[str, Any]:
    found = [bound for place, bound in bounds.items() if place.topic == spec.name]
    return {
        "topic": spec.name,
        "partitions": spec.partitions,
        "records": sum(bound.end - bound.start for bound in found) if found else None,
        "kept": _kept(spec),
        "held_back_by": held,
        "written_by": spec.written_by,
        "read_by": spec.read_by,
    }


def _kept(spec: TopicSpec) -> str:
    if spec.compacted:
        return "last of each key"
    return "until trimmed" if spec.retention_ms == FOREVER_MS else f"{spec.retention_ms // 86_400_000} d"


class GroupLag(NamedTuple):
    """One group on one topic, summed over the partitions it has committed."""

    group: str
    topic: str
    committed: int
    end: int
    partitions: dict[int, int]
    """Lag by partition."""

    @property
    def lag(self) -> int:
        """Records the group has not committed yet."""
        return sum(self.partitions.values())


@command
async def lag(as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show how far each service is behind.

    Compared are the committed and the end offsets of its group, summed over the partitions.
    """
    where = connections(data)
    committed = await _committed(where)
    async with reading(where.kafka) as reader:
        ends = await reader.end_offsets(sorted({tp for offsets in committed.values() for tp in offsets}))
    rows = lags(committed, ends)
    if as_json:
        show_json(
            [{**row._asdict(), "lag": row.lag, "partitions": _text_keys(row.partitions)} for row in rows]
        )
        return
    show_table(_LAG_COLUMNS, [(row.group, row.topic, row.committed, row.end, row.lag) for row in rows])


def groups_of(routes: RouteMap) -> list[str]:
    """Name the consumer groups: one a service, and of executors one a pool."""
    names: list[str] = []
    for spec in SERVICES:
        pools = routes.pools if spec.name == "executor" else ()
        names += [f"executor.{pool}" for pool in pools] or [spec.name]
    return [routes.group(name) for name in names]


async def _committed(where: Connections) -> Committed:
    """Ask for the committed offsets of every service's group; a group that never was has none."""
    admin = AIOKafkaAdminClient(**where.kafka.client_options())
    committed: Committed = {}
    try:
        await admin.start()
        known = {name for name, *_ in await admin.list_consumer_groups()}
        for group in groups_of(where.routes):
            if group in known:
                offsets = await admin.list_consumer_group_offsets(group)
                committed[group] = {
                    TopicPartition(tp.topic, tp.partition): place.offset for tp, place in offsets.items()
                }
    finally:
        await admin.close()
    return committed


def lags(committed: Committed, ends: dict[TopicPartition, int]) -> list[GroupLag]:
    """Compare committed with end offsets, a row for each group and topic."""
    rows = []
    for group, offsets in committed.items():
        by_topic: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
        for tp, offset in offsets.items():
            if offset >= 0:
                by_topic[tp.topic][tp.partition] = (offset, ends[tp])
        for topic, places in sorted(by_topic.items()):
            behind = {partition: max(0, end - at) for partition, (at, end) in sorted(places.items())}
            at_sum, end_sum = (sum(place[index] for place in places.values()) for index in (0, 1))
            rows.append(GroupLag(group, topic, at_sum, end_sum, behind))
    return rows


def _text_keys(partitions: dict[int, int]) -> dict[str, int]:
    return {str(partition): behind for partition, behind in partitions.items()}
