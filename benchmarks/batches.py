"""What a batch costs beside its records: the same records in one call, over ever more partitions.

The appender sends one batch a partition, so a call of 512 records to 64 partitions is 64 batches of eight.
CPU of this process and of the broker, a call; a line through them tells a batch from a record.
"""

import time
from collections.abc import Awaitable, Callable
from statistics import median

from adapters.kafka.admin import create_topics
from adapters.kafka.appender import appending
from adapters.kafka.reader import reading
from benchmarks.pipeline import Pipeline
from benchmarks.results import BatchCost
from core.log import NewRecord, TopicPartition
from schemas.topics import FOREVER_MS, TopicSpec

TOPIC = "bench.batches"
PARTITIONS = 64
RECORDS = 512
VALUE = b"x" * 400
KAFKA = "kafka"


async def measure_batches(pipeline: Pipeline, *, calls: int, repeats: int) -> tuple[BatchCost, ...]:
    """Append and read the same records over 1, 8 and 64 partitions; medians count."""
    await create_topics(
        pipeline.kafka, [TopicSpec(TOPIC, PARTITIONS, FOREVER_MS, "benchmarks", "benchmarks")], 1
    )
    found = []
    for batches in (1, 8, PARTITIONS):
        rounds = [await _round(pipeline, batches, calls) for _ in range(repeats)]
        found.append(
            BatchCost(
                records=RECORDS,
                batches=batches,
                **{
                    name: round(median(one[name] for one in rounds), 1)
                    for name in ("append_us", "append_broker_us", "read_us", "read_broker_us")
                },
            )
        )
    return tuple(found)


async def _round(pipeline: Pipeline, batches: int, calls: int) -> dict[str, float]:
    places = [TopicPartition(TOPIC, number) for number in range(batches)]
    records = [
        NewRecord(TOPIC, places[number * batches // RECORDS].partition, None, VALUE)
        for number in range(RECORDS)
    ]
    async with (
        appending(pipeline.kafka, client_id="bench-appender") as appender,
        reading(pipeline.kafka, client_id="bench-reader") as reader,
    ):
        ends = await reader.end_offsets(places)
        await appender.append(records)

        async def append() -> None:
            for _ in range(calls):
                await appender.append(records)

        append_us, append_broker_us = await _spent(pipeline, append, calls)
        await reader.assign({place: ends[place] for place in places})
        missing = RECORDS * (calls + 1) - len(await reader.poll(5.0, RECORDS))

        async def read() -> None:
            left = missing
            while left > 0:
                left -= len(await reader.poll(5.0, RECORDS))

        read_us, read_broker_us = await _spent(pipeline, read, calls)
    return {
        "append_us": append_us,
        "append_broker_us": append_broker_us,
        "read_us": read_us,
        "read_broker_us": read_broker_us,
    }


async def _spent(pipeline: Pipeline, work: Callable[[], Awaitable[None]], calls: int) -> tuple[float, float]:
    """Give the CPU of this process and of the broker, microseconds a call."""
    broker_s, own_s = pipeline.cpu_s()[KAFKA], time.process_time()
    await work()
    own_s, broker_s = time.process_time() - own_s, pipeline.cpu_s()[KAFKA] - broker_s
    return own_s / calls * 1e6, broker_s / calls * 1e6
