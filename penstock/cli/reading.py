"""Reading stretches of topics for people: the newest records, everything, and what comes next."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka import reader as kafka_reader
from adapters.kafka.reader import KafkaReader
from core.log import Record, TopicPartition
from penstock.connection import KafkaConnection
from penstock.errors import PenstockError

QUIET_S = 2.0
"""A stretch whose last offsets hold no record (markers of transactions) ends after so long without one."""


class NoSuchTopicError(PenstockError):
    """The cluster has no such topic."""


def reading(connection: KafkaConnection) -> AbstractAsyncContextManager[KafkaReader]:
    """Open a reader for the life of the block."""
    return kafka_reader.reading(connection, client_id="penstock-cli")


async def existing_topics(connection: KafkaConnection) -> set[str]:
    """Give the names of all topics of the cluster."""
    admin = AIOKafkaAdminClient(**connection.client_options())
    try:
        await admin.start()
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def require_topics(connection: KafkaConnection, topics: Iterable[str]) -> None:
    """Check that topics exist, since a reader would wait for them.

    Raises
    ------
    NoSuchTopicError
        With the remedy.
    """
    missing = set(topics) - await existing_topics(connection)
    if missing:
        raise NoSuchTopicError(
            f"Kafka at {connection.bootstrap} has no topic {min(missing)}: run `penstock up` once, or "
            "check PENSTOCK_TOPIC_PREFIX and PENSTOCK_POOLS"
        )


def partitions_of(topic: str, count: int) -> list[TopicPartition]:
    """Give all partitions of a topic."""
    return [TopicPartition(topic, partition) for partition in range(count)]


async def stretch(
    reader: KafkaReader,
    partitions: Sequence[TopicPartition],
    newest: int | None = None,
    begin: Mapping[TopicPartition, int] | None = None,
) -> AsyncGenerator[Record, None]:
    """Give what stands in the partitions now, in offset order within each.

    Parameters
    ----------
    newest
        Only about so many of each partition; None: all.
    begin
        Offsets that are not gone before; None: from the start.
    """
    if not partitions:
        return
    starts = await reader.start_offsets(partitions)
    if begin is not None:
        starts = {tp: max(start, begin[tp]) for tp, start in starts.items()}
    ends = await reader.end_offsets(partitions)
    if newest is not None:
        starts = {tp: max(start, ends[tp] - newest) for tp, start in starts.items()}
    await reader.assign({tp: start for tp, start in starts.items() if start < ends[tp]})
    left = {tp for tp, start in starts.items() if start < ends[tp]}
    while left:
        records = await reader.poll(QUIET_S)
        if not records:
            return
        for record in records:
            if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                yield record
        left = {tp for tp in left if reader.position(tp) < ends[tp]}


async def follow(
    reader: KafkaReader, partitions: Sequence[TopicPartition], last: int
) -> AsyncGenerator[Record, None]:
    """Give the last records of each partition and then every new one, without end."""
    starts = await reader.start_offsets(partitions)
    ends = await reader.end_offsets(partitions)
    await reader.assign({tp: max(starts[tp], ends[tp] - last) for tp in partitions})
    while True:
        for record in sorted(await reader.poll(QUIET_S), key=lambda record: record.timestamp_ms):
            yield record
