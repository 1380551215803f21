"""What every ``Appender`` promises."""

import asyncio

import pytest

from core.log import TopicPartition
from ports.log import RecordTooLargeError
from tests.contract.reading import read, record, texts
from tests.support.logs_under_test import LogUnderTest


async def test_places_come_back_in_the_order_given_whatever_the_partitions(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender = await log.appender()

    places = await appender.append([record(topic, p, f"{p}") for p in (0, 1, 1, 0, 1)])

    assert [place.offset for place in places] == [0, 0, 1, 1, 2]


async def test_records_of_a_partition_keep_their_order_over_many_calls(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    for call in range(5):
        await appender.append([record(topic, 0, f"{call}.{i}") for i in range(20)])

    await reader.assign({TopicPartition(topic, 0): 0})

    expected = [f"{call}.{i}" for call in range(5) for i in range(20)]
    assert texts(await read(reader, 100)) == expected


async def test_concurrent_calls_each_get_their_own_places(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=2)
    appender, reader = await log.appender(), await log.reader()

    calls = [[record(topic, i % 2, f"{call}.{i}") for i in range(10)] for call in range(30)]
    answers = await asyncio.gather(*(appender.append(call) for call in calls))

    await reader.assign({TopicPartition(topic, p): 0 for p in range(2)})
    found = {(r.partition, r.offset): (r.value or b"").decode() for r in await read(reader, 300)}
    for call, places in zip(calls, answers, strict=True):
        for new, place in zip(call, places, strict=True):
            assert found[new.partition, place.offset] == (new.value or b"").decode()
    for call, places in zip(calls, answers, strict=True):
        mine = [place.offset for new, place in zip(call, places, strict=True) if new.partition == 0]
        assert mine == sorted(mine), call


async def test_what_was_appended_is_read_whole_with_the_place_and_time_acknowledged(
    log: LogUnderTest,
) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    new = record(topic, 0, "whole")._replace(headers=(("kind", b"A"), ("origin", b"e:0:1"), ("kind", b"B")))

    (place,) = await appender.append([new])
    await reader.assign({TopicPartition(topic, 0): 0})
    (found,) = await read(reader, 1)

    assert (found.key, found.value, found.headers) == (new.key, new.value, new.headers)
    assert (found.offset, found.timestamp_ms) == (place.offset, place.timestamp_ms)


async def test_null_keys_and_values_stay_null(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    await appender.append([record(topic, 0, "")._replace(key=None, value=None, headers=())])

    await reader.assign({TopicPartition(topic, 0): 0})
    (found,) = await read(reader, 1)

    assert (found.key, found.value, found.headers) == (None, None, ())


async def test_append_times_never_go_back(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender = await log.appender()

    times = [(await appender.append([record(topic, 0, "x")]))[0].timestamp_ms for _ in range(20)]

    assert times == sorted(times)
    assert times[0] > 0


async def test_appending_nothing_is_no_request(log: LogUnderTest) -> None:
    appender = await log.appender()
    assert await appender.append([]) == []


async def test_a_record_the_log_cannot_take_is_named_by_its_index(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender = await log.appender()
    large = record(topic, 0, "x" * 983_040)

    with pytest.raises(RecordTooLargeError) as refused:
        await appender.append([record(topic, 0, "small"), large])

    assert refused.value.index == 1
    assert refused.value.size_bytes > 983_040


async def test_after_a_refused_record_the_appender_goes_on(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    with pytest.raises(RecordTooLargeError):
        await appender.append([record(topic, 0, "x" * 983_040)])

    largest = "y" * 982_000
    (place,) = await appender.append([record(topic, 0, largest)])

    await reader.assign({TopicPartition(topic, 0): place.offset})
    assert texts(await read(reader, 1)) == [largest]


async def test_a_cancelled_append_leaves_the_appender_usable_and_in_order(log: LogUnderTest) -> None:
    topic = log.name("t")
    await log.create(topic, partitions=1)
    appender, reader = await log.appender(), await log.reader()
    given_up = asyncio.ensure_future(appender.append([record(topic, 0, "maybe")]))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up

    await appender.append([record(topic, 0, "a")])
    await appender.append([record(topic, 0, "b")])

    await reader.assign({TopicPartition(topic, 0): 0})
    found = [text for text in texts(await read(reader, 2)) if text != "maybe"]
    if found == ["a"]:
        found += texts(await read(reader, 1))
    assert found == ["a", "b"]
