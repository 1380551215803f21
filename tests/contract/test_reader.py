"""What every ``PartitionReader`` promises."""

import asyncio

import pytest

from core.log import TopicPartition
from ports.log import OffsetOutOfRangeError
from tests.contract.reading import DEADLINE_S, read, record, texts
from tests.support.logs_under_test import LogUnderTest


async def test_reading_starts_at_the_offset_given(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    await appender.append([record(topic, 0, f"{i}") for i in range(10)])

    await reader.assign({TopicPartition(topic, 0): 7})

    assert texts(await read(reader, 3)) == ["7", "8", "9"]


async def test_each_partition_comes_in_offset_order(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=3)
    appender, reader = await log.appender(), await log.reader()
    await appender.append([record(topic, i % 3, f"{i}") for i in range(60)])

    await reader.assign({TopicPartition(topic, p): 0 for p in range(3)})
    records = await read(reader, 60)

    for partition in range(3):
        offsets = [found.offset for found in records if found.partition == partition]
        assert offsets == list(range(20))


async def test_a_poll_gives_no_more_than_asked_for_and_loses_nothing(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    await appender.append([record(topic, 0, f"{i}") for i in range(25)])
    await reader.assign({TopicPartition(topic, 0): 0})

    found: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < 25:
            some = await reader.poll(0.5, max_records=4)
            assert len(some) <= 4
            found += texts(some)

    assert found == [f"{i}" for i in range(25)]


async def test_a_waiting_poll_returns_when_a_record_arrives(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    await reader.assign({TopicPartition(topic, 0): 0})
    waiting = asyncio.ensure_future(reader.poll(10.0))
    await asyncio.sleep(0)

    await appender.append([record(topic, 0, "now")])

    async with asyncio.timeout(5.0):
        assert texts(await waiting) == ["now"]


async def test_a_poll_of_an_idle_log_ends_empty_after_its_timeout(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    reader = await log.reader()
    await reader.assign({TopicPartition(topic, 0): 0})

    async with asyncio.timeout(5.0):
        assert await reader.poll(0.2) == []


async def test_a_partition_kept_in_an_assignment_keeps_its_position(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, reader = await log.appender(), await log.reader()
    await appender.append([record(topic, p, f"{p}.{i}") for p in range(2) for i in range(3)])
    kept, new = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await reader.assign({kept: 0})
    await read(reader, 3)

    await reader.assign({kept: 0, new: 1})

    assert sorted(texts(await read(reader, 2))) == ["1.1", "1.2"]
    assert (reader.position(kept), reader.position(new)) == (3, 3)


async def test_nothing_comes_from_a_partition_that_is_no_longer_assigned(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, reader = await log.appender(), await log.reader()
    dropped, kept = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await appender.append([record(topic, p, f"{p}") for p in range(2)])
    await reader.assign({dropped: 0, kept: 0})
    await read(reader, 2)

    await reader.assign({kept: 0})
    await appender.append([record(topic, p, f"{p} again") for p in range(2)])

    assert texts(await read(reader, 1)) == ["1 again"]
    with pytest.raises(KeyError):
        reader.position(dropped)


async def test_a_dropped_partition_that_comes_back_starts_where_it_is_told(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    partition = TopicPartition(topic, 0)
    await appender.append([record(topic, 0, f"{i}") for i in range(3)])
    await reader.assign({partition: 0})
    await read(reader, 3)
    await reader.assign({})

    await reader.assign({partition: 1})

    assert texts(await read(reader, 2)) == ["1", "2"]


async def test_the_position_is_the_next_record_to_come(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    partition = TopicPartition(topic, 0)
    await appender.append([record(topic, 0, f"{i}") for i in range(5)])
    await reader.assign({partition: 2})
    assert reader.position(partition) == 2

    await read(reader, 3)

    assert reader.position(partition) == 5


async def test_the_known_end_is_at_least_what_was_read_and_reaches_what_was_fetched(
    log: LogUnderTest,
) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    partition = TopicPartition(topic, 0)
    await appender.append([record(topic, 0, f"{i}") for i in range(5)])
    await reader.assign({partition: 0})

    (first, *_) = await reader.poll(10.0, max_records=1)

    assert first.offset == 0
    assert reader.known_end(partition) == 5


async def test_start_and_end_offsets_are_the_brokers(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, reader = await log.appender(), await log.reader()
    both = [TopicPartition(topic, p) for p in range(2)]
    await appender.append([record(topic, 0, f"{i}") for i in range(4)])

    await log.trim(both[0], before=3)

    assert await reader.start_offsets(both) == {both[0]: 3, both[1]: 0}
    assert await reader.end_offsets(both) == {both[0]: 4, both[1]: 0}


async def test_a_trimmed_record_stops_the_reader_and_is_never_skipped(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    partition = TopicPartition(topic, 0)
    await appender.append([record(topic, 0, f"{i}") for i in range(4)])
    await log.trim(partition, before=3)

    await reader.assign({partition: 1})

    with pytest.raises(OffsetOutOfRangeError):
        await read(reader, 1)


async def test_an_offset_past_the_end_stops_the_reader(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    await appender.append([record(topic, 0, "only")])

    await reader.assign({TopicPartition(topic, 0): 2})

    with pytest.raises(OffsetOutOfRangeError):
        await read(reader, 1)
