"""Services under test: topics prepared under a prefix, processes started and stopped."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError
from pydantic import SecretStr

from adapters.kafka.admin import create_topics, ensure_epoch
from adapters.kafka.appender import KafkaAppender, appending
from adapters.kafka.groups import administering
from adapters.kafka.reader import reading
from adapters.kafka.topology import route_map
from core.log import Appended, NewRecord, Record, TopicPartition
from penstock.client import Client
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from ports.log import OffsetOutOfRangeError
from ports.model_shelf import ModelShelf
from schemas.control import EpochRecord
from schemas.models import Purpose
from schemas.topics import RouteMap
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

DELETE_TIMEOUT_S = 10.0
READ_AGAIN = 5
"""Times a topic is read anew that was trimmed between the question for its start and its reading."""


@dataclass(frozen=True)
class Pipeline:
    """One pipeline on shared servers, kept apart by its topic prefix."""

    servers: Servers
    kafka: KafkaConnection
    routes: RouteMap
    epoch: EpochRecord
    directory: Path
    database_url: str

    def environment(self, service: str, **settings: str) -> dict[str, str]:
        """The environment of one service process."""
        return {
            **self.servers.environment,
            "PENSTOCK_DATABASE_URL": self.database_url,
            "PENSTOCK_TOPIC_PREFIX": self.routes.prefix,
            "PENSTOCK_PARTITIONS": str(self.routes.partitions),
            "PENSTOCK_INSTANCE": f"{self.routes.prefix}{service}",
            "PENSTOCK_METRICS_PORT": "0",
            **settings,
        }

    def client(self) -> Client:
        """A client of this pipeline, not started."""
        return Client(
            kafka=self.kafka,
            database=DatabaseConnection(url=SecretStr(self.database_url)),
            names=PipelineNames(topic_prefix=self.routes.prefix, partitions=self.routes.partitions),
        )

    def start(self, service: str, name: str = "", **settings: str) -> Program:
        """Start one service; the caller ends it."""
        name = name or service
        return Program(
            self.directory / f"{name}.log",
            "-m",
            f"services.{service}",
            env=self.environment(name, **settings),
        )

    @contextmanager
    def running(self, *services: str, **settings: str) -> Iterator[None]:
        """Run services for the length of a block; in its end they are told to stop all at once."""
        with ExitStack() as stack:
            programs = [stack.enter_context(self.start(service, **settings)) for service in services]
            try:
                yield
            finally:
                for program in programs:
                    program.process.terminate()

    def read(self, *topics: str) -> list[Record]:
        """Read whole topics, as far as they reach now."""
        for _ in range(READ_AGAIN):
            with suppress(OffsetOutOfRangeError):
                return asyncio.run(self.read_async(*topics))
        return asyncio.run(self.read_async(*topics))

    async def read_async(self, *topics: str) -> list[Record]:
        """Read whole topics, as far as they reach now."""
        async with reading(self.kafka, client_id="test-reader") as reader:
            counts = {spec.name: spec.partitions for spec in self.routes.specs()}
            partitions = [TopicPartition(topic, p) for topic in topics for p in range(counts[topic])]
            ends = await reader.end_offsets(partitions)
            await reader.assign(await reader.start_offsets(partitions))
            records: list[Record] = []
            while any(reader.position(tp) < end for tp, end in ends.items()):
                records += await reader.poll(0.2)
            return records

    def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        """Append records and give their places."""
        return asyncio.run(self.append_async(records))

    async def append_async(self, records: Sequence[NewRecord]) -> list[Appended]:
        """Append records and give their places."""
        async with self.appender() as appender:
            return await appender.append(records)

    def appender(self) -> AbstractAsyncContextManager[KafkaAppender]:
        """Connect to append, for the length of a block."""
        return appending(self.kafka, client_id="test")

    @asynccontextmanager
    async def shelf(self, purpose: Purpose = Purpose.ORDER) -> AsyncIterator[ModelShelf]:
        """Reach the topic of models, for the length of a block."""
        async with (
            reading(self.kafka, client_id="test-shelf") as reader,
            self.appender() as appender,
        ):
            yield ModelShelf(reader, appender, self.routes, purpose=purpose)

    def wait_for(self, topic: str, count: int, timeout_s: float = 60.0) -> list[Record]:
        """Wait until a topic has ``count`` records; give them all."""
        found: list[Record] = []

        def enough() -> bool:
            found[:] = self.read(topic)
            return len(found) >= count

        wait_until(enough, f"{count} records in {topic}", timeout_s)
        return found


@contextmanager
def pipeline(
    servers: Servers,
    prefix: str,
    directory: Path,
    *,
    database_url: str = "",
    pools: Sequence[str] = ("default",),
) -> Iterator[Pipeline]:
    """Prepare the topics and the epoch of a pipeline of its own; delete the topics when it is over.

    A broker that keeps the topics of all tests has ten thousand partitions in the end, and stands still for
    half a second every five seconds to write down how far each of them is.
    """
    kafka = KafkaConnection(bootstrap=servers.kafka_bootstrap)
    names = PipelineNames(topic_prefix=prefix, partitions=2, pools=",".join(pools))
    routes = route_map(names)

    async def prepare() -> EpochRecord:
        await create_topics(kafka, routes.specs(), 1)
        return await ensure_epoch(kafka, routes)

    try:
        yield Pipeline(servers, kafka, routes, asyncio.run(prepare()), directory, database_url)
    finally:
        # With the broker away there is nothing to be tidy about.
        with suppress(KafkaError, OSError, TimeoutError):
            asyncio.run(_delete_topics(kafka, prefix))


async def _delete_topics(kafka: KafkaConnection, prefix: str) -> None:
    async with asyncio.timeout(DELETE_TIMEOUT_S), administering(kafka) as admin:
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
