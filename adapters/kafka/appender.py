"""Appends records in batches, one request per partition in flight, everything else joins the next."""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from adapters.kafka.clock import BrokerClock, boot_ms
from adapters.kafka.reader import START_TIMEOUT_S
from core.log import Appended, NewRecord, TopicPartition, size_bytes
from penstock.connection import KafkaConnection
from ports.failpoints import Failpoint, reached
from ports.log import RecordTooLargeError
from schemas.topics import APPEND_MAX_BYTES

REQUEST_TIMEOUT_MS = 20_000
"""An unanswered produce is sent again after this; idempotent, so it cannot be doubled."""
FLUSH_TIMEOUT_S = 3.0
"""How long closing waits for acknowledgements; a service has waited ``stop_limit_s`` for them before."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One ``append`` under way: its results, and how many records are still out."""

    results: list[Appended]
    missing: int
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Lane:
    """Records waiting for one partition, and the task that drains them."""

    waiting: deque[tuple[NewRecord, int, _Call]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class KafkaAppender:
    """An ``Appender`` on the idempotent producer (acks=all, KIP-98), without transactions.

    Concurrent calls share batches: while one batch of a partition is in flight, all that arrives
    for it waits and goes out together. A broker that is away makes calls wait, not fail: an
    idempotent producer may not give a batch up, its fate being unknown.
    """

    def __init__(self, connection: KafkaConnection, clock: BrokerClock, *, client_id: str) -> None:
        self._producer: Any = AIOKafkaProducer(
            **connection.client_options(),
            client_id=client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=APPEND_MAX_BYTES,
            max_request_size=APPEND_MAX_BYTES + 65_536,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=100,
        )
        # aiokafka gives up a batch that is older than a request may take while its partition has no
        # leader, as after a broker's restart, though its sequence number may be spent by then.
        self._producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 - no public setting
        self._clock = clock
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._since_s: dict[int, float] = {}
        """By append under way, oldest first: when it began."""

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        aiokafka.errors.KafkaConnectionError, TimeoutError
            No broker answers; the caller retries or stops.
        """
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._producer.start()

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        """See ``ports.log.Appender.append``."""
        if not records:
            return []
        for index, record in enumerate(records):
            if (size := size_bytes(record)) > APPEND_MAX_BYTES:
                raise RecordTooLargeError(index, size)
        nowhere = Appended(-1, -1)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = _Call([nowhere] * len(records), len(records), done)
        for index, record in enumerate(records):
            partition = TopicPartition(record.topic, record.partition)
            lane = self._lanes.get(partition)
            if lane is None:
                lane = self._lanes[partition] = _Lane()
            lane.waiting.append((record, index, call))
            if lane.task is None:
                lane.task = asyncio.create_task(self._drain(partition, lane))
        self._since_s[id(call)] = time.monotonic()
        try:
            await done
        finally:
            del self._since_s[id(call)]
        return call.results

    @property
    def waiting_s(self) -> float:
        """How long the oldest append under way has waited, seconds; 0 when there is none."""
        return time.monotonic() - next(iter(self._since_s.values())) if self._since_s else 0.0

    async def answers(self, timeout_s: float) -> bool:
        """Whether any broker answers within this time."""
        try:
            async with asyncio.timeout(timeout_s):
                # Asks for the metadata of the topics written to: small, and finds new leaders, too.
                return bool(await self._producer.client.force_metadata_update())
        except (TimeoutError, KafkaError):
            return False

    async def close(self) -> None:
        """Finish what is under way within ``FLUSH_TIMEOUT_S``, then disconnect.

        What is not acknowledged by then may be in the log or not, as after a crash.
        """
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=FLUSH_TIMEOUT_S)
            for task in late:
                task.cancel()
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._producer.stop()
        except TimeoutError:
            await self._abandon()

    async def _abandon(self) -> None:
        """Close without waiting for batches, which ``stop`` does without limit while no broker is there."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._producer._sender.close()  # noqa: SLF001 - ``stop`` was cancelled before it
                await self._producer.client.close()

    async def _drain(self, partition: TopicPartition, lane: _Lane) -> None:
        try:
            while lane.waiting:
                sent: list[tuple[NewRecord, int, _Call]] = []
                try:
                    await self._send_one_batch(partition, lane, sent)
                except BaseException as error:
                    _fail(sent, error)
                    if not isinstance(error, Exception):
                        raise
        finally:
            lane.task = None

    async def _send_one_batch(
        self, partition: TopicPartition, lane: _Lane, sent: list[tuple[NewRecord, int, _Call]]
    ) -> None:
        builder = self._producer.create_batch()
        while lane.waiting:
            record = lane.waiting[0][0]
            headers = list(record.headers)
            if builder.append(key=record.key, value=record.value, timestamp=None, headers=headers) is None:
                break
            sent.append(lane.waiting.popleft())
        builder.close()
        sent_ms = boot_ms()
        metadata = await (await self._hand_to_producer(builder, partition))
        reached(Failpoint.BATCH_ACKNOWLEDGED)
        self._clock.observe(metadata.timestamp, sent_ms)
        for position, (_, index, call) in enumerate(sent):
            call.results[index] = Appended(metadata.offset + position, metadata.timestamp)
            call.missing -= 1
            if call.missing == 0 and not call.done.done():
                call.done.set_result(None)

    async def _hand_to_producer(self, builder: Any, partition: TopicPartition) -> Any:
        """Queue a batch; an error here means it was never queued, so repeating is safe."""
        while True:
            try:
                return await self._producer.send_batch(
                    builder, partition.topic, partition=partition.partition
                )
            except KafkaTimeoutError:
                continue
            except UnknownTopicOrPartitionError:
                # Raised after a request's time, also for a topic first written to while the broker is away.
                logger.warning(
                    "no broker that knows topic %s has answered for %d s; trying on (if it is missing: "
                    "run `python -m adapters.prepare`)",
                    partition.topic,
                    REQUEST_TIMEOUT_MS // 1000,
                )


def _fail(sent: list[tuple[NewRecord, int, _Call]], error: BaseException) -> None:
    for _, _, call in sent:
        if not call.done.done():
            call.done.set_exception(error)
            # The caller may have been cancelled and will then never look.
            call.done.exception()


@contextlib.asynccontextmanager
async def appending(connection: KafkaConnection, *, client_id: str) -> AsyncIterator[KafkaAppender]:
    """Open an appender with a clock of its own for the life of the block."""
    appender = KafkaAppender(connection, BrokerClock(), client_id=client_id)
    await appender.start()
    try:
        yield appender
    finally:
        await appender.close()
