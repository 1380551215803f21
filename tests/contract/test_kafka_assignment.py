"""Of the real member alone: nothing is skipped while positions are still being looked up."""

import asyncio
import contextlib
from typing import Any

from adapters.kafka.admin import create_topics
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.group import KafkaGroupMember
from core.log import TopicPartition
from penstock.connection import KafkaConnection
from schemas.topics import FOREVER_MS, TopicSpec
from tests.contract.reading import DEADLINE_S, record, take, texts
from tests.support.servers import Servers


async def test_what_is_fetched_while_other_positions_are_looked_up_is_not_skipped(
    servers: Servers, topic_prefix: str
) -> None:
    """aiokafka fetches a partition as soon as it has a position, beside the listener."""
    topic = f"{topic_prefix}t"
    connection = KafkaConnection(bootstrap=servers.kafka_bootstrap)
    await create_topics(connection, [TopicSpec(topic, 2, FOREVER_MS, "tests", "tests")], 1)
    appender = KafkaAppender(connection, BrokerClock(), client_id="contract")
    await appender.start()
    await appender.append([record(topic, p, f"{p}.{i}") for i in range(3) for p in range(2)])
    await appender.close()
    first = _member(connection, topic)
    await first.start()
    stamp = (await take(first, 6)).assignment
    assert await first.commit(stamp, {TopicPartition(topic, p): 1 for p in range(2)})
    await first.close()

    restarted = _member(connection, topic)
    fetched, assigned = _delay_the_second_answer(restarted), _assigned(restarted)
    await restarted.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not fetched.is_set() and not restarted.assignment.number:
                assert not (await restarted.poll(0.1)).records
            # As a stage that commits between two polls: the assignment completes meanwhile.
            await assigned.wait()
        found = texts((await take(restarted, 4)).records)
    finally:
        await restarted.close()

    assert sorted(found) == ["0.1", "0.2", "1.1", "1.2"]


def _member(connection: KafkaConnection, topic: str) -> KafkaGroupMember:
    return KafkaGroupMember(connection, BrokerClock(), group=f"{topic}.g", instance="a-0", topics=[topic])


def _delay_the_second_answer(member: KafkaGroupMember) -> asyncio.Event:
    """Let the second question for a committed offset wait until records were fetched meanwhile.

    Or for a second: a member that sets no position before it knows them all fetches nothing then.
    """
    consumer: Any = member._consumer
    ask, fetch, asked, fetched = consumer.committed, consumer.getmany, 0, asyncio.Event()

    async def committed(partition: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(fetched.wait(), timeout=1.0)
        return await ask(partition)

    async def getmany(**options: Any) -> Any:
        records = await fetch(**options)
        if records:
            fetched.set()
        return records

    consumer.committed, consumer.getmany = committed, getmany
    return fetched


def _assigned(member: KafkaGroupMember) -> asyncio.Event:
    """Tell when the member knows its first assignment."""
    watched: Any = member
    told, done = member.on_assigned, asyncio.Event()

    async def on_assigned(partitions: set[TopicPartition]) -> None:
        await told(partitions)
        done.set()

    watched.on_assigned = on_assigned
    return done
