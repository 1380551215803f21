"""The client's way to Kafka: opened at first use, closed within a bounded time."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from penstock.client.errors import NotConnected
from penstock.client.outbox import Outbox
from penstock.connection import KafkaConnection

BATCH_MAX_BYTES = 983_040
"""Largest batch; under the broker's limit of every topic, 1 MiB."""
REQUEST_TIMEOUT_MS = 20_000
"""An unanswered batch is sent again after this; idempotent, so it cannot be doubled."""
CLOSE_TIMEOUT_S = 5.0
EPOCH_KEY = b"epoch"


class Epoch(NamedTuple):
    """One incarnation of the topics: part of every id that is made from an origin."""

    name: str
    partitions: int
    """Partitions of the job topics; a job's home is a hash modulo this count."""


class Opened(NamedTuple):
    """A connected client's parts."""

    producer: Any
    outbox: Outbox
    epoch: Epoch


class KafkaLink:
    """Connects once, when somebody needs Kafka; a failed attempt may be repeated."""

    def __init__(self, connection: KafkaConnection, topic_prefix: str) -> None:
        self._connection = connection
        self._prefix = topic_prefix
        self._lock = asyncio.Lock()
        self._opened: Opened | None = None

    async def open(self) -> Opened:
        """Give the connected parts.

        Raises
        ------
        NotConnected
            No broker answers, or these topics were never prepared.
        """
        if self._opened is not None:
            return self._opened
        async with self._lock:
            if self._opened is None:
                with explained(self._connection):
                    self._opened = await self._connect()
            return self._opened

    async def close(self) -> None:
        """Send what is queued, for at most ``CLOSE_TIMEOUT_S``, and disconnect."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await opened.outbox.drain()
                await opened.producer.stop()
        except TimeoutError:
            opened.outbox.abandon()
            await _cut(opened.producer)

    async def _connect(self) -> Opened:
        jobs = f"{self._prefix}jobs"
        epoch = await read_epoch(self._connection, f"{self._prefix}control")
        producer: Any = AIOKafkaProducer(
            **self._connection.client_options(),
            client_id="penstock-client",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_MAX_BYTES,
            max_request_size=BATCH_MAX_BYTES + 65_536,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await producer.start()
            partitions = await producer.partitions_for(jobs)
        except BaseException:
            await _cut(producer)
            raise
        return Opened(producer, Outbox(producer, jobs, partitions), epoch)


@contextlib.contextmanager
def explained(connection: KafkaConnection) -> Iterator[None]:
    """Turn what aiokafka raises while connecting into ``NotConnected`` with the remedy."""
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        raise NotConnected(f"Kafka at {connection.bootstrap} has no such topic: {_PREPARE}") from error
    except KafkaConnectionError as error:
        raise NotConnected(
            f"no Kafka answers at {connection.bootstrap}: start one with `penstock up`, or set "
            "PENSTOCK_KAFKA_BOOTSTRAP to the address of yours"
        ) from error
    except (KafkaError, OSError) as error:
        raise NotConnected(f"cannot connect to Kafka at {connection.bootstrap}: {error!r}") from error


_PREPARE = "run `penstock up` once, or check PENSTOCK_TOPIC_PREFIX"


async def read_epoch(connection: KafkaConnection, topic: str) -> Epoch:
    """Read the epoch from the topic ``control``: of the newest generation the first record counts.

    Raises
    ------
    NotConnected
        There is none: the topics were never prepared.
    """
    consumer: Any = AIOKafkaConsumer(**connection.client_options(), enable_auto_commit=False)
    try:
        await consumer.start()
        epoch = await _find_epoch(consumer, topic) if topic in await consumer.topics() else None
    finally:
        await consumer.stop()
    if epoch is None:
        raise NotConnected(
            f"topic {topic} at {connection.bootstrap} names no epoch, so these topics are not "
            f"prepared: {_PREPARE}"
        )
    return epoch


async def _find_epoch(consumer: Any, topic: str) -> Epoch | None:
    partition = TopicPartition(topic, 0)
    start = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    # Nothing awaited in between: aiokafka 0.14 would begin to look for its default position, the
    # end, and that answer would overtake the seek.
    consumer.assign([partition])
    consumer.seek(partition, start)
    found: Epoch | None = None
    newest = 0
    while await consumer.position(partition) < end:
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            for record in batch:
                if record.key == EPOCH_KEY and record.value is not None:
                    message = orjson.loads(record.value)
                    generation = int(message.get("generation", 1))
                    if generation > newest:
                        newest = generation
                        found = Epoch(str(message["epoch"]), int(message["partitions"]))
    return found


async def _cut(producer: Any) -> None:
    """Disconnect without waiting for answers; ``stop`` would wait for a broker that is away."""
    # aiokafka 0.14 has no public way to end the sender task of a producer that cannot flush.
    sender = producer._sender  # noqa: SLF001
    if sender.sender_task is not None:
        await sender.close()
    producer._closed = True  # noqa: SLF001
    await producer.client.close()
