"""Of the real member alone: what happens while a rebalance is under way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from adapters.kafka.admin import create_topics
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from adapters.kafka.group import LEAVE_TIMEOUT_S, KafkaGroupMember
from adapters.kafka.groups import members_of
from core.log import TopicPartition
from core.offsets import next_positions
from penstock.connection import KafkaConnection
from schemas.topics import FOREVER_MS, TopicSpec
from tests.contract.reading import DEADLINE_S, record, take, texts, until_assigned
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


@dataclass
class _HeldUp:
    """Two members that share a topic; the second does not answer a rebalance before ``released``."""

    connection: KafkaConnection
    topic: str
    first: KafkaGroupMember
    second: KafkaGroupMember
    asked: asyncio.Event
    released: asyncio.Event


@contextlib.asynccontextmanager
async def _held_up(servers: Servers, topic: str) -> AsyncIterator[_HeldUp]:
    connection = KafkaConnection(bootstrap=servers.kafka_bootstrap)
    await create_topics(connection, [TopicSpec(topic, 4, FOREVER_MS, "tests", "tests")], 1)
    first, second = _member(connection, topic), _member(connection, topic, "a-1")
    await first.start()
    await second.start()
    await until_assigned(first, second, when=lambda: _halves(first, second))
    coordinator: Any = cast("Any", second)._consumer._coordinator
    join, asked, released = coordinator._do_rejoin_group, asyncio.Event(), asyncio.Event()

    async def when_released(subscription: Any) -> Any:
        asked.set()
        await released.wait()
        return await join(subscription)

    coordinator._do_rejoin_group = when_released
    try:
        yield _HeldUp(connection, topic, first, second, asked, released)
    finally:
        released.set()
        await first.close()
        await second.close()


def _rebalancing(*members: KafkaGroupMember) -> bool:
    return any(member._rebalancing for member in members)


def _halves(*members: KafkaGroupMember) -> bool:
    return [len(member.assignment.partitions) for member in members] == [2, 2]


async def test_a_member_works_on_while_a_rebalance_waits_for_another(
    servers: Servers, topic_prefix: str
) -> None:
    async with _held_up(servers, f"{topic_prefix}t") as held:
        before, appender = held.first.assignment, KafkaAppender(held.connection, BrokerClock(), client_id="c")
        await appender.start()
        third = _member(held.connection, held.topic, "a-2")
        await third.start()
        await held.asked.wait()
        async with asyncio.timeout(DEADLINE_S):
            while not _rebalancing(held.first):
                await held.first.poll(0.05)
        await appender.append([record(held.topic, p, f"{p}") for p in sorted(before.partitions)])

        found = await take(held.first, 2)

        assert sorted(texts(found.records)) == [f"{p}" for p in sorted(before.partitions)]
        assert held.first.assignment == before
        assert not await held.first.commit(before.number, next_positions(found.records))
        held.released.set()
        members = (held.first, held.second, third)
        await until_assigned(
            *members, when=lambda: third.assignment.number > 0 and not _rebalancing(*members)
        )
        kept = [r for r in found.records if r.partition in held.first.assignment.kept_since(before.number)]
        assert await held.first.commit(held.first.assignment.number, next_positions(kept))
        await appender.close()
        await third.close()


async def test_a_member_that_closes_while_it_joins_is_out_of_the_group_at_once(
    servers: Servers, topic_prefix: str
) -> None:
    async with _held_up(servers, f"{topic_prefix}t") as held:
        third = _member(held.connection, held.topic, "a-2")
        await third.start()
        await held.asked.wait()

        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            await third.close()

        held.released.set()
        before = held.first.assignment.number
        await until_assigned(
            held.first,
            held.second,
            when=lambda: held.first.assignment.number > before and _halves(held.first, held.second),
        )


async def test_a_member_is_out_of_its_group_whenever_in_its_joining_it_closed(
    servers: Servers, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}t"
    connection = KafkaConnection(bootstrap=servers.kafka_bootstrap)
    await create_topics(connection, [TopicSpec(topic, 4, FOREVER_MS, "tests", "tests")], 1)
    for after_s in (step / 250 for step in range(25)):
        member = _member(connection, topic)
        await member.start()
        await asyncio.sleep(after_s)
        await member.close()
        left = await members_of(connection, [f"{topic}.g"])
        assert not left, f"closed after {after_s:.3f} s"


def _member(connection: KafkaConnection, topic: str, instance: str = "a-0") -> KafkaGroupMember:
    return KafkaGroupMember(connection, BrokerClock(), group=f"{topic}.g", instance=instance, topics=[topic])


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
