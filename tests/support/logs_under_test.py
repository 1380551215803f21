"""The two implementations of ``ports.log`` behind one face, for the contract suite."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from typing_extensions import override

from adapters.kafka.admin import create_topics
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.group import KafkaGroupMember
from adapters.kafka.progress import KafkaGroupProgress
from adapters.kafka.reader import KafkaReader
from adapters.kafka.retention import KafkaRetention
from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.group import MemoryGroupMember
from adapters.memory.progress import MemoryGroupProgress
from adapters.memory.reader import MemoryReader
from adapters.memory.retention import MemoryRetention
from core.log import TopicPartition
from penstock.connection import KafkaConnection
from ports.log import Appender, GroupMember, GroupProgress, PartitionReader
from ports.retention import RetentionLog
from schemas.topics import FOREVER_MS, TopicSpec

StartAt = Callable[[TopicPartition, int], int]
Part = TypeVar("Part")


class LogUnderTest(ABC):
    """Makes the parts of one log; closes whatever the test left open."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._open: list[Any] = []

    @abstractmethod
    async def create(self, *topics: str, partitions: int) -> None:
        """Create topics (names already prefixed)."""

    @abstractmethod
    async def trim(self, partition: TopicPartition, before: int) -> None:
        """Delete the records below an offset."""

    @abstractmethod
    def _appender(self) -> Appender: ...

    @abstractmethod
    def _reader(self) -> PartitionReader: ...

    @abstractmethod
    def _retention(self) -> RetentionLog: ...

    @abstractmethod
    def _member(
        self, instance: str, topics: Sequence[str], group: str, start_at: StartAt | None
    ) -> GroupMember: ...

    @abstractmethod
    async def _progress(self, group: str) -> GroupProgress: ...

    async def progress(self, *, group: str = "g") -> GroupProgress:
        return await self._opened(await self._progress(f"{self.prefix}{group}"))

    def name(self, topic: str) -> str:
        """Give the name of a topic of this test."""
        return f"{self.prefix}{topic}"

    async def appender(self) -> Appender:
        return await self._opened(self._appender())

    async def reader(self) -> PartitionReader:
        return await self._opened(self._reader())

    async def retention(self) -> RetentionLog:
        return await self._opened(self._retention())

    async def member(
        self, instance: str, topics: Sequence[str], *, group: str = "g", start_at: StartAt | None = None
    ) -> GroupMember:
        return await self._opened(self._member(instance, topics, f"{self.prefix}{group}", start_at))

    async def close(self) -> None:
        """Close in reverse order; closing twice is allowed."""
        for part in reversed(self._open):
            await part.close()

    async def _opened(self, part: Part) -> Part:
        start = getattr(part, "start", None)
        if start is not None:
            await start()
        self._open.append(part)
        return part


class MemoryLogUnderTest(LogUnderTest):
    """The fake; its clock gains a millisecond at every look."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        ticks = itertools.count(1_700_000_000_000)
        self.broker = MemoryBroker(lambda: next(ticks))

    @override
    async def create(self, *topics: str, partitions: int) -> None:
        for topic in topics:
            self.broker.create_topic(topic, partitions)

    @override
    async def trim(self, partition: TopicPartition, before: int) -> None:
        self.broker.trim(partition, before)

    @override
    def _appender(self) -> Appender:
        return MemoryAppender(self.broker)

    @override
    def _reader(self) -> PartitionReader:
        return MemoryReader(self.broker)

    @override
    def _retention(self) -> RetentionLog:
        return MemoryRetention(self.broker)

    @override
    def _member(
        self, instance: str, topics: Sequence[str], group: str, start_at: StartAt | None
    ) -> GroupMember:
        return MemoryGroupMember(
            self.broker, group=group, instance=instance, topics=topics, start_at=start_at
        )

    @override
    async def _progress(self, group: str) -> GroupProgress:
        return MemoryGroupProgress(self.broker, group=group)


class KafkaLogUnderTest(LogUnderTest):
    """The real thing."""

    def __init__(self, prefix: str, bootstrap: str) -> None:
        super().__init__(prefix)
        self._connection = KafkaConnection(bootstrap=bootstrap)
        self._clock = BrokerClock()

    @override
    async def create(self, *topics: str, partitions: int) -> None:
        specs = [TopicSpec(topic, partitions, FOREVER_MS, "tests", "tests") for topic in topics]
        await create_topics(self._connection, specs, replication=1)

    @override
    async def trim(self, partition: TopicPartition, before: int) -> None:
        await (await self.retention()).trim({partition: before})

    @override
    def _appender(self) -> Appender:
        return KafkaAppender(self._connection, self._clock, client_id="contract")

    @override
    def _reader(self) -> PartitionReader:
        return KafkaReader(self._connection, client_id="contract")

    @override
    def _retention(self) -> RetentionLog:
        return KafkaRetention(self._connection, client_id="contract")

    @override
    def _member(
        self, instance: str, topics: Sequence[str], group: str, start_at: StartAt | None
    ) -> GroupMember:
        return KafkaGroupMember(
            self._connection, self._clock, group=group, instance=instance, topics=topics, start_at=start_at
        )

    @override
    async def _progress(self, group: str) -> GroupProgress:
        reader = KafkaReader(self._connection, client_id="contract")
        return KafkaGroupProgress(self._connection, await self._opened(reader), group=group)
