"""What the janitor sees and does, on the log in memory and on the real one."""

import pytest

from core.log import NewRecord, TopicPartition
from ports.log import OffsetOutOfRangeError
from ports.retention import Bounds, RetentionUnavailableError
from tests.contract.reading import read
from tests.support.logs_under_test import LogUnderTest

OTHER = 1


async def filled(log: LogUnderTest, count: int = 5) -> TopicPartition:
    topic = log.name("work")
    await log.create(topic, partitions=2)
    appender = await log.appender()
    await appender.append([NewRecord(topic, 0, b"k", b"%d" % number) for number in range(count)])
    return TopicPartition(topic, 0)


async def test_what_is_trimmed_is_gone_and_the_rest_stays(log: LogUnderTest) -> None:
    place = await filled(log)
    retention = await log.retention()
    assert await retention.trim({place: 3}) == {place: 3}
    assert await retention.bounds([place]) == {place: Bounds(3, 5)}
    reader = await log.reader()
    await reader.assign({place: 3})
    assert [record.value for record in await read(reader, 2)] == [b"3", b"4"]
    await reader.assign({})
    await reader.assign({place: 2})
    with pytest.raises(OffsetOutOfRangeError):
        await read(reader, 1)


async def test_a_start_never_moves_back(log: LogUnderTest) -> None:
    place = await filled(log)
    retention = await log.retention()
    await retention.trim({place: 4})
    assert await retention.trim({place: 2}) == {place: 4}


async def test_everything_can_be_trimmed_and_no_more(log: LogUnderTest) -> None:
    place = await filled(log)
    retention = await log.retention()
    with pytest.raises(RetentionUnavailableError):
        await retention.trim({place: 6})
    assert await retention.trim({place: 5}) == {place: 5}
    assert await retention.bounds([place]) == {place: Bounds(5, 5)}
    assert await retention.trim({}) == {}


async def test_offsets_are_those_a_group_has_committed(log: LogUnderTest) -> None:
    place = await filled(log)
    member = await log.member("one", [place.topic], group="g")
    while not (await member.poll(0.5)).records:
        pass
    await member.commit(member.assignment.number, {place: 2})
    retention = await log.retention()
    mine, nobody = log.name("g"), log.name("nobody")
    committed = await retention.committed([mine, nobody])
    assert committed[mine].get(place) == 2
    assert TopicPartition(place.topic, OTHER) not in committed[mine]
    assert not committed.get(nobody)


async def test_offsets_are_found_by_time(log: LogUnderTest) -> None:
    place = await filled(log)
    empty = TopicPartition(place.topic, OTHER)
    reader, retention = await log.reader(), await log.retention()
    await reader.assign({place: 0})
    records = await read(reader, 5)
    assert await retention.offsets_at([place, empty], 0) == {place: 0, empty: 0}
    found = (await retention.offsets_at([place], records[-1].timestamp_ms))[place]
    first = next(record.offset for record in records if record.timestamp_ms == records[-1].timestamp_ms)
    assert found == first
    assert await retention.offsets_at([place], records[-1].timestamp_ms + 1) == {place: 5}


async def test_sizes_count_what_is_there(log: LogUnderTest) -> None:
    place = await filled(log, 50)
    empty = TopicPartition(place.topic, OTHER)
    sizes = await (await log.retention()).sizes([place, empty])
    assert sizes[empty] == 0
    assert 50 < sizes[place] < 10_000
