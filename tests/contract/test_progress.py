"""What every ``GroupProgress`` promises, and a reader that is paused."""

import asyncio

from core.log import TopicPartition
from core.stealing import Progress
from tests.contract.reading import DEADLINE_S, read, record, texts
from tests.support.logs_under_test import LogUnderTest


async def test_progress_is_the_groups_commits_and_the_ends(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=3)
    appender = await log.appender()
    lanes = [TopicPartition(topic, p) for p in range(3)]
    await appender.append([record(topic, p, f"{i}") for p in range(2) for i in range(5)])
    member = await log.member("one", [topic])
    async with asyncio.timeout(DEADLINE_S):
        while not (batch := await member.poll(0.5)).records:
            pass
        assert await member.commit(batch.assignment, {lanes[0]: 3})

    progress = await log.progress()

    assert await progress.look(lanes) == {
        lanes[0]: Progress(3, 5),
        lanes[1]: Progress(0, 5),
        lanes[2]: Progress(0, 0),
    }


async def test_what_nobody_ever_read_begins_at_the_logs_start(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, lane = await log.appender(), TopicPartition(topic, 0)
    await appender.append([record(topic, 0, f"{i}") for i in range(5)])
    await log.trim(lane, before=2)

    progress = await log.progress(group="nobody")

    assert await progress.look([lane]) == {lane: Progress(2, 5)}


async def test_a_paused_partition_of_a_reader_waits_and_loses_nothing(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, reader = await log.appender(), await log.reader()
    paused, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await reader.assign({paused: 0, other: 0})
    reader.pause([paused, TopicPartition("unknown", 0)])
    await appender.append([record(topic, p, f"{p}.{i}") for i in range(3) for p in range(2)])
    assert texts(await read(reader, 3)) == ["1.0", "1.1", "1.2"]
    assert reader.position(paused) == 0

    reader.resume([paused, TopicPartition("unknown", 0)])

    assert texts(await read(reader, 3)) == ["0.0", "0.1", "0.2"]


async def test_an_assignment_ends_the_pauses_of_a_reader(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    lane = TopicPartition(topic, 0)
    await appender.append([record(topic, 0, "a")])
    await reader.assign({lane: 0})
    reader.pause([lane])

    await reader.assign({})
    await reader.assign({lane: 0})

    assert texts(await read(reader, 1)) == ["a"]
