"""What a record costs our clients of the broker: appended and read in batches, one partition."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from adapters.kafka.admin import create_topics
from adapters.kafka.appender import KafkaAppender, appending
from adapters.kafka.reader import reading
from benchmarks.results import LogCost
from benchmarks.sample import make_sample
from benchmarks.timing import calibrate, measure
from core.log import NewRecord, TopicPartition
from penstock.connection import KafkaConnection
from schemas.codec import job_record
from schemas.topics import FOREVER_MS, TopicSpec

BATCH = 500
TOPIC = "bench.log"


class _Spent(NamedTuple):
    cpu_s: float
    elapsed_s: float


async def measure_log(kafka: KafkaConnection, *, batches: int, repeats: int) -> tuple[LogCost, ...]:
    """Append and read records of a usual size; the best repetition counts."""
    await create_topics(kafka, [TopicSpec(TOPIC, 1, FOREVER_MS, "benchmarks", "benchmarks")], 1)
    calibration_s = measure(calibrate, 1, repeats=repeats).us / 1e6
    records = _batch()
    async with appending(kafka, client_id="bench-appender") as appender:
        appended = [await _spent(lambda: _append(appender, records, batches)) for _ in range(repeats)]
    read = [await _read_all(kafka, batches * BATCH) for _ in range(repeats)]
    count = batches * BATCH
    return (
        _cost("append, 500 a call", appended, count, calibration_s),
        _cost("read, 500 a poll", read, count, calibration_s),
    )


def _batch() -> list[NewRecord]:
    made = make_sample(BATCH)
    return [job_record(TOPIC, 0, queued, queued.job, b"QUEUED") for queued in made.queued]


async def _append(appender: KafkaAppender, records: list[NewRecord], batches: int) -> None:
    for _ in range(batches):
        await appender.append(records)


async def _read_all(kafka: KafkaConnection, count: int) -> _Spent:
    async with reading(kafka, client_id="bench-reader") as reader:
        await reader.assign({TopicPartition(TOPIC, 0): 0})
        # The first answer is not measured: it includes the connection.
        left = count - len(await reader.poll(5.0, BATCH))

        async def read() -> None:
            missing = left
            while missing > 0:
                missing -= len(await reader.poll(5.0, BATCH))

        return await _spent(read)


async def _spent(work: Callable[[], Awaitable[None]]) -> _Spent:
    cpu_s, elapsed_s = time.process_time(), time.perf_counter()
    await work()
    return _Spent(time.process_time() - cpu_s, time.perf_counter() - elapsed_s)


def _cost(what: str, rounds: Sequence[_Spent], records: int, calibration_s: float) -> LogCost:
    cpu_s = min(spent.cpu_s for spent in rounds)
    elapsed_s = min(spent.elapsed_s for spent in rounds)
    return LogCost(
        what,
        round(cpu_s / records * 1e6, 2),
        round(elapsed_s / records * 1e6, 2),
        round(cpu_s / records / calibration_s, 4),
    )
