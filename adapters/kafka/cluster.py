"""Asks the cluster which topics its names stand for.

aiokafka 0.14 speaks Metadata up to version 5, which has no topic ids; the request of version 12
(KIP-516, Kafka 3.1 and newer) is described here in the terms of its protocol classes.
"""

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from typing_extensions import override

from core.epoch import ClusterView, TopicMark
from penstock.connection import KafkaConnection

METADATA = 3
"""API key."""
REQUEST_TIMEOUT_MS = 10_000
_NO_ID = "00000000-0000-0000-0000-000000000000"


class _Uuid(AbstractType[str]):
    @override
    @classmethod
    def encode(cls, value: str) -> bytes:
        return uuid.UUID(value).bytes

    @override
    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return str(uuid.UUID(bytes=data.read(16)))


class MetadataResponse_v12(Response):  # noqa: N801 - as aiokafka names them
    """Brokers, cluster and topics with their ids."""

    API_KEY = METADATA
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest_v12(RequestStruct):  # noqa: N801
    """Asks for topics by name."""

    API_KEY = METADATA
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequest_v12]):
    """Asks for topics by name; never creates one."""

    API_KEY = METADATA

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    @override
    def build(self, request_struct_class: type[MetadataRequest_v12]) -> MetadataRequest_v12:
        topics: list[tuple[str, str, dict[int, bytes]]] = [(_NO_ID, name, {}) for name in self._names]
        return request_struct_class(topics, False, False, {})


class ClusterClient:
    """One connection for questions about topics and their ids."""

    def __init__(self, connection: KafkaConnection, *, client_id: str) -> None:
        self._client: Any = AIOKafkaClient(
            **connection.client_options(), client_id=client_id, request_timeout_ms=REQUEST_TIMEOUT_MS
        )

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        aiokafka.errors.KafkaConnectionError
            No broker answers.
        """
        await self._client.bootstrap()

    async def describe(self, names: Iterable[str]) -> ClusterView:
        """Give the id and the partition count of each topic that exists, and the cluster's id.

        Raises
        ------
        aiokafka.errors.KafkaError
            The broker does not answer or refuses; ask again later.
        """
        node = self._client.get_random_node()
        if node is None:
            raise KafkaConnectionError("no broker is known")
        answer = await self._client.send(node, TopicsRequest(sorted(set(names))))
        topics: dict[str, TopicMark] = {}
        for topic in answer.topics:
            code, name, topic_id, _, partitions = topic[:5]
            error = for_code(code)
            if error is UnknownTopicOrPartitionError:
                continue
            # A topic that is being created has an id before all of its partitions have leaders.
            if code and not partitions:
                raise error(f"topic {name}")
            topics[name] = TopicMark(topic_id, len(partitions))
        return ClusterView(answer.cluster_id or "", topics)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()


async def describe_topics(connection: KafkaConnection, names: Iterable[str]) -> ClusterView:
    """Ask once, on a connection of its own; see ``ClusterClient.describe``."""
    client = ClusterClient(connection, client_id="penstock-topics")
    try:
        await client.start()
        return await client.describe(names)
    finally:
        await client.close()
