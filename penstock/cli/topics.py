"""``penstock topics`` and ``penstock lag``: what stands in Kafka, and who is how far behind."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import typer
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.reader import KafkaReader
from core.log import TopicPartition
from core.services import SERVICES
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, show_json, show_table
from penstock.cli.reading import existing_topics, partitions_of, reading
from schemas.topics import FOREVER_MS, RouteMap, TopicSpec

_TOPIC_COLUMNS = ("topic", "partitions", "records", "kept", "written by", "read by")
_LAG_COLUMNS = ("group", "topic", "committed", "end", "lag")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("topics")(topics)
    app.command("lag")(lag)


@command
async def topics(as_json: JsonOption = False, data: DataOption = None) -> None:
    """List the topics of the pipeline.

    With how much stands in each, who writes and who reads it. Records are counted by offsets, so
    compacted topics hold fewer than shown.
    """
    where = connections(data)
    existing = await existing_topics(where.kafka)
    async with reading(where.kafka) as reader:
        specs = where.routes.specs()
        counts = await _records(reader, [spec for spec in specs if spec.name in existing])
    rows = [_topic_row(spec, counts.get(spec.name)) for spec in specs]
    if as_json:
        show_json(rows)
        return
    show_table(
        _TOPIC_COLUMNS, [["missing" if cell is None else cell for cell in row.values()] for row in rows]
    )


async def _records(reader: KafkaReader, specs: Sequence[TopicSpec]) -> dict[str, int]:
    """Count the records of all topics.

    Asked for all at once: aiokafka takes 0.1 s to learn of a topic, one after the other within a call.
    """
    places = [partitions_of(spec.name, spec.partitions) for spec in specs]
    starts = await asyncio.gather(*map(reader.start_offsets, places))
    ends = await asyncio.gather(*map(reader.end_offsets, places))
    sizes = [sum(end.values()) - sum(start.values()) for start, end in zip(starts, ends, strict=True)]
    return {spec.name: size for spec, size in zip(specs, sizes, strict=True)}


def _topic_row(spec: TopicSpec, records: int | None) -> dict[str, Any]:
    return {
        "topic": spec.name,
        "partitions": spec.partitions,
        "records": records,
        "kept": _kept(spec),
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


Committed = dict[str, dict[TopicPartition, int]]


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
