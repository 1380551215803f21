"""One log at a time: the fake, then the real one."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.logs_under_test import KafkaLogUnderTest, LogUnderTest, MemoryLogUnderTest
from tests.support.servers import Servers


@pytest.fixture(params=["memory", "kafka"])
def a_log(request: pytest.FixtureRequest, topic_prefix: str) -> Iterator[LogUnderTest]:
    if request.param == "memory":
        yield MemoryLogUnderTest(topic_prefix)
        return
    servers: Servers = request.getfixturevalue("servers")
    yield KafkaLogUnderTest(topic_prefix, servers.kafka_bootstrap)


@pytest_asyncio.fixture
async def log(a_log: LogUnderTest) -> AsyncIterator[LogUnderTest]:
    yield a_log
    await a_log.close()
