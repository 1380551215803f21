"""Reads chosen partitions without a group: how every service follows the ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError
from aiokafka.errors import OffsetOutOfRangeError as AioOutOfRangeError

from adapters.kafka.fetch_apart import FETCH_LOOK_MS, FETCH_MAX_WAIT_MS, Fetches
from adapters.kafka.patience import answered
from core.log import Record, TopicPartition
from penstock.connection import KafkaConnection
from ports.log import OffsetOutOfRangeError

PARTITION_FETCH_MAX_BYTES = 1_048_576
REQUEST_TIMEOUT_MS = 10_000
"""A broker that is cut off refuses nothing: only this ends a request to it, and a try to connect, and lets
the client ask the others who leads now. aiokafka's 40 s would stop all reading for as long, twice."""
PATIENCE_S = 30.0
START_TIMEOUT_S = 60.0
"""Connecting and reading metadata; what takes longer is a broker that went away meanwhile."""
STOP_TIMEOUT_S = 10.0


class KafkaReader:
    """A ``PartitionReader`` on aiokafka.

    Parameters
    ----------
    patience_s
        How long questions for offsets are asked again while no broker answers, ``REQUEST_TIMEOUT_MS``
        each. A person at a terminal wants to hear of it; a service waits.
    partition_fetch_bytes
        Most that is read ahead of each partition; what does not fit comes a record at a time.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        client_id: str,
        patience_s: float = PATIENCE_S,
        partition_fetch_bytes: int = PARTITION_FETCH_MAX_BYTES,
    ) -> None:
        self._patience_s = patience_s
        self._consumer: Any = AIOKafkaConsumer(
            **connection.client_options(),
            client_id=client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            consumer_timeout_ms=FETCH_LOOK_MS,
            max_partition_fetch_bytes=partition_fetch_bytes,
        )
        self._fetches = Fetches(self._consumer)
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        aiokafka.errors.KafkaError, TimeoutError
            No broker answers; the caller starts over.
        """
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._consumer.start()

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See ``ports.log.PartitionReader.assign``."""
        kept = {tp: self._positions.get(tp, offset) for tp, offset in positions.items()}
        self._positions = kept
        self._consumer.assign([AioTopicPartition(*tp) for tp in kept])
        for tp, offset in kept.items():
            self._consumer.seek(AioTopicPartition(*tp), offset)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.PartitionReader.pause``."""
        self._consumer.pause(*(AioTopicPartition(*tp) for tp in partitions if tp in self._positions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See ``ports.log.PartitionReader.resume``."""
        known = [AioTopicPartition(*tp) for tp in partitions if tp in self._positions]
        self._consumer.resume(*known)
        self._fetches.look_again(known)

    def gather(self, seconds: float) -> None:
        """See ``ports.log.GatheringReader.gather``."""
        self._fetches.gather(seconds)

    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        """See ``ports.log.PartitionReader.poll``."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        except (AioOutOfRangeError, NoOffsetForPartitionError) as error:
            raise OffsetOutOfRangeError(out_of_range_text(error)) from error
        records: list[Record] = []
        for tp, batch in fetched.items():
            key = TopicPartition(tp.topic, tp.partition)
            if key not in self._positions:
                continue
            self._positions[key] = batch[-1].offset + 1
            records.extend(record_of(raw) for raw in batch)
        return records

    async def topics(self) -> set[str]:
        """Give the names of all topics this client may see."""
        names: set[str] = await self._consumer.topics()
        return names

    def position(self, partition: TopicPartition) -> int:
        """See ``ports.log.PartitionReader.position``."""
        return self._positions[partition]

    def known_end(self, partition: TopicPartition) -> int:
        """See ``ports.log.PartitionReader.known_end``."""
        highwater = self._consumer.highwater(AioTopicPartition(*partition))
        return max(highwater or 0, self._positions[partition])

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See ``ports.log.PartitionReader.end_offsets``."""
        wanted = [AioTopicPartition(*tp) for tp in partitions]
        ends = await answered(
            lambda: self._consumer.end_offsets(wanted), f"ends of {wanted}", patience_s=self._patience_s
        )
        return {TopicPartition(tp.topic, tp.partition): end for tp, end in ends.items()}

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See ``ports.log.PartitionReader.start_offsets``."""
        wanted = [AioTopicPartition(*tp) for tp in partitions]
        starts = await answered(
            lambda: self._consumer.beginning_offsets(wanted),
            f"starts of {wanted}",
            patience_s=self._patience_s,
        )
        return {TopicPartition(tp.topic, tp.partition): start for tp, start in starts.items()}

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Give the offset of the first record appended then or later; None when there is none."""
        tp = AioTopicPartition(*partition)
        found = await answered(
            lambda: self._consumer.offsets_for_times({tp: timestamp_ms}),
            f"the offset of {partition} at {timestamp_ms}",
            patience_s=self._patience_s,
        )
        return None if found[tp] is None else int(found[tp].offset)

    async def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._consumer.stop(), STOP_TIMEOUT_S)


@contextlib.asynccontextmanager
async def reading(
    connection: KafkaConnection, *, client_id: str, patience_s: float = PATIENCE_S
) -> AsyncIterator[KafkaReader]:
    """Open a reader for the length of the block.

    Raises
    ------
    aiokafka.errors.KafkaError, TimeoutError
        No broker answers; the caller starts over.
    """
    reader = KafkaReader(connection, client_id=client_id, patience_s=patience_s)
    try:
        await reader.start()
        yield reader
    finally:
        # aiokafka 0.14 cannot be stopped before the tasks of its start had their first turn.
        await asyncio.sleep(0)
        await reader.close()


def record_of(raw: Any) -> Record:
    """Make our record of aiokafka's."""
    return Record(raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, tuple(raw.headers))


def out_of_range_text(error: Exception) -> str:
    """Say what an offset outside the log means and what to do."""
    return (
        f"the next record to read is not in the log any more ({error}): it was trimmed or the topic "
        "was recreated. Nothing was skipped. Restore the topic, or drain and start a new epoch."
    )
