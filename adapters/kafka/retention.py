"""A ``RetentionLog`` on aiokafka: committed offsets, bounds, sizes, and DeleteRecords."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from adapters.kafka.log_dirs import DescribeLogDirs, sizes_in
from adapters.kafka.reader import START_TIMEOUT_S, STOP_TIMEOUT_S
from core.log import TopicPartition
from penstock.connection import KafkaConnection
from ports.retention import Bounds, RetentionUnavailableError


class KafkaRetention:
    """An administrator of the log; needs the right to delete records of the topics it trims."""

    def __init__(self, connection: KafkaConnection, *, client_id: str) -> None:
        options = connection.client_options() | {"client_id": client_id}
        self._admin: Any = AIOKafkaAdminClient(**options)
        self._consumer: Any = AIOKafkaConsumer(**options, group_id=None, auto_offset_reset="none")

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        TimeoutError, aiokafka.errors.KafkaError
            No broker answers; the caller starts over.
        """
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._admin.start()
            await self._consumer.start()

    async def committed(self, groups: Collection[str]) -> dict[str, dict[TopicPartition, int]]:
        """See ``ports.retention.RetentionLog.committed``."""
        found: dict[str, dict[TopicPartition, int]] = {}
        with _translated():
            for group in groups:
                offsets = await self._admin.list_consumer_group_offsets(group)
                # Should the coordinator answer with an error, nothing is listed: the group then holds all.
                found[group] = {
                    TopicPartition(tp.topic, tp.partition): place.offset
                    for tp, place in offsets.items()
                    if place.offset >= 0
                }
        return found

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """See ``ports.retention.RetentionLog.bounds``."""
        wanted = [AioTopicPartition(*tp) for tp in partitions]
        with _translated():
            starts = await self._consumer.beginning_offsets(wanted)
            ends = await self._consumer.end_offsets(wanted)
        return {tp: Bounds(starts[AioTopicPartition(*tp)], ends[AioTopicPartition(*tp)]) for tp in partitions}

    async def offsets_at(
        self, partitions: Collection[TopicPartition], at_ms: int
    ) -> dict[TopicPartition, int]:
        """See ``ports.retention.RetentionLog.offsets_at``."""
        wanted = [AioTopicPartition(*tp) for tp in partitions]
        with _translated():
            # Ends first: what is appended meanwhile is younger and must not count as older.
            ends = await self._consumer.end_offsets(wanted)
            found = await self._consumer.offsets_for_times(dict.fromkeys(wanted, max(0, at_ms)))
        return {
            TopicPartition(tp.topic, tp.partition): ends[tp] if found[tp] is None else found[tp].offset
            for tp in wanted
        }

    async def sizes(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """See ``ports.retention.RetentionLog.sizes``."""
        topics: dict[str, list[int]] = {}
        for tp in partitions:
            topics.setdefault(tp.topic, []).append(tp.partition)
        sizes = dict.fromkeys(partitions, 0)
        with _translated():
            for node in await self._nodes():
                answer = await self._admin._send_request_to_node(node, DescribeLogDirs(topics))  # noqa: SLF001
                for place, size in sizes_in(answer).items():
                    tp = TopicPartition(*place)
                    sizes[tp] = max(size, sizes[tp])
        return sizes

    async def _nodes(self) -> list[int]:
        cluster = await self._admin.describe_cluster()
        return [broker["node_id"] for broker in cluster["brokers"]]

    async def trim(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """See ``ports.retention.RetentionLog.trim``."""
        records = {AioTopicPartition(*tp): RecordsToDelete(offset) for tp, offset in before.items()}
        with _translated():
            starts = await self._admin.delete_records(records) if records else {}
        return {TopicPartition(tp.topic, tp.partition): start for tp, start in starts.items()}

    async def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._consumer.stop()
                await self._admin.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise RetentionUnavailableError(f"{type(error).__name__}: {error}") from error
