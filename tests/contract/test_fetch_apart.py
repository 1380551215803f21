"""What is asked of the broker does not wait behind a fetch that finds nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from adapters.kafka import fetch_apart, group, reader
from core.log import TopicPartition
from tests.contract.reading import read, record, texts, until_assigned
from tests.support.logs_under_test import KafkaLogUnderTest
from tests.support.servers import Servers

HELD_S = 8.0
"""How long the broker holds a fetch here, so that whoever waits for one is far from who does not."""
SOON_S = HELD_S / 2
FETCH_SENT_S = 1.0
"""Surely sent by then."""


@pytest_asyncio.fixture
async def log(
    servers: Servers, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KafkaLogUnderTest]:
    for module in (fetch_apart, group, reader):
        monkeypatch.setattr(module, "FETCH_MAX_WAIT_MS", int(HELD_S * 1000))
    # What is not noticed when it happens is noticed too late here.
    for module in (group, reader):
        monkeypatch.setattr(module, "FETCH_LOOK_MS", int(HELD_S * 1000))
    made = KafkaLogUnderTest(topic_prefix, servers.kafka_bootstrap)
    yield made
    await made.close()


@contextmanager
def soon() -> Iterator[None]:
    """Ask that nothing in the block waits for what the broker holds."""
    began_s = time.monotonic()
    yield
    assert time.monotonic() - began_s < SOON_S


async def test_ends_are_known_while_the_broker_holds_a_fetch(log: KafkaLogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    following = await log.reader()
    await following.assign({TopicPartition(topic, 0): 0})
    assert await following.poll(FETCH_SENT_S) == []

    with soon():
        ends = await following.end_offsets([TopicPartition(topic, 0)])
        assert ends == {TopicPartition(topic, 0): 0}


async def test_what_is_added_is_read_while_the_broker_holds_fetches_of_before(
    log: KafkaLogUnderTest,
) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=8)
    appender, following = await log.appender(), await log.reader()
    await appender.append([record(topic, partition, f"{partition}") for partition in range(1, 8)])
    await following.assign({TopicPartition(topic, 0): 0})
    assert await following.poll(FETCH_SENT_S) == []

    with soon():
        for partition in range(1, fetch_apart.FETCH_CONNECTIONS_MAX):
            await following.assign({TopicPartition(topic, p): 0 for p in range(partition + 1)})
            assert texts(await read(following, 1)) == [f"{partition}"]
            # The next fetch, of all that is assigned now, is on its way.
            assert await following.poll(0.2) == []


async def test_what_is_resumed_is_read_while_the_broker_holds_a_fetch_without_it(
    log: KafkaLogUnderTest,
) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, following = await log.appender(), await log.reader()
    await following.assign({TopicPartition(topic, p): 0 for p in range(2)})
    following.pause([TopicPartition(topic, 1)])
    await appender.append([record(topic, 0, "before"), record(topic, 1, "meanwhile")])
    assert texts(await read(following, 1)) == ["before"]
    assert await following.poll(FETCH_SENT_S) == []

    with soon():
        following.resume([TopicPartition(topic, 1)])
        assert texts(await read(following, 1)) == ["meanwhile"]


@pytest.mark.parametrize("is_polling", [True, False])
async def test_what_is_paused_and_resumed_again_and_again_is_read_each_time(
    log: KafkaLogUnderTest, *, is_polling: bool
) -> None:
    topic, turns = log.name("t"), 10
    await log.create(topic, partitions=2)
    appender, following = await log.appender(), await log.reader()
    lane = TopicPartition(topic, 1)
    await following.assign({TopicPartition(topic, p): 0 for p in range(2)})
    with soon():
        for turn in range(turns):
            following.pause([lane])
            await appender.append([record(topic, 0, f"before {turn}"), record(topic, 1, f"meanwhile {turn}")])
            assert texts(await read(following, 1)) == [f"before {turn}"]
            if is_polling:
                asyncio.get_running_loop().call_later(0.05, following.resume, [lane])
            else:
                await asyncio.sleep(0.05)
                following.resume([lane])
            assert texts(await read(following, 1)) == [f"meanwhile {turn}"]


async def test_what_was_read_late_is_fetched_again_while_the_broker_holds_a_fetch_without_it(
    log: KafkaLogUnderTest,
) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, following = await log.appender(), await log.reader()
    await appender.append([record(topic, 1, "first")])
    await following.assign({TopicPartition(topic, p): 0 for p in range(2)})
    # Longer than aiokafka waits for a reader before it fetches what else there is.
    await asyncio.sleep(FETCH_SENT_S)
    assert texts(await read(following, 1)) == ["first"]

    with soon():
        await appender.append([record(topic, 1, "second")])
        assert texts(await read(following, 1)) == ["second"]


async def test_an_assignment_begins_while_the_broker_holds_a_fetch_of_the_one_before(
    log: KafkaLogUnderTest,
) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    first = await log.member("a-0", [topic])
    await until_assigned(first, when=lambda: len(first.assignment.partitions) == 2)
    assert not (await first.poll(FETCH_SENT_S)).records

    second = await log.member("a-1", [topic])

    await until_assigned(
        first,
        second,
        when=lambda: len(first.assignment.partitions) == len(second.assignment.partitions) == 1,
        deadline_s=HELD_S - FETCH_SENT_S - 1.0,
    )
