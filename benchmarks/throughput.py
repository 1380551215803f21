"""A backlog of no-op jobs: how fast it drains, and what each process spends on a job."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import msgspec

from adapters.kafka.appender import appending
from adapters.kafka.reader import KafkaReader
from adapters.kafka.topology import route_map
from benchmarks import cpu
from benchmarks.pipeline import CLIENT, BenchmarkError, Pipeline
from benchmarks.results import Throughput
from benchmarks.table import JobsTable
from benchmarks.tasks import NOOP
from core.log import NewRecord, TopicPartition
from penstock.client.client import Client
from penstock.client.submission import Job

STALL_S = 60.0
"""No further row for this long means that something is broken."""
ASKED = 2000
"""Unfinished jobs asked for in one question: what it costs does not rise with the table."""
BATCH = 500
"""Records of one call of a producer of its own."""

Submit = Callable[[], Awaitable[Callable[[], Awaitable[None]]]]
"""Submits all, and gives what waits for their rows."""


async def measure_throughput(pipeline: Pipeline, jobs: int) -> Throughput:
    """Submit so many at once and wait for the last row; errors as ``measure_backlog``."""
    return await measure_backlog(pipeline, [_job(number) for number in range(jobs)])


async def measure_backlog(pipeline: Pipeline, submitted: Sequence[Job], type_: str = NOOP) -> Throughput:
    """Submit these jobs at once by ``submit_many`` and wait for the last row.

    Parameters
    ----------
    type_
        Of the job that warms the client up.

    Raises
    ------
    BenchmarkError
        The rows stopped coming.
    """
    async with (
        Client(kafka=pipeline.kafka, database=pipeline.database, names=pipeline.names) as client,
        await JobsTable.connect(pipeline.database.conninfo) as table,
    ):
        # Connecting is not measured.
        await _until_ended(table, [(await client.submit(type_)).job_id])

        async def submit() -> Callable[[], Awaitable[None]]:
            refs = await client.submit_many(submitted)
            return lambda: _until_ended(table, [ref.job_id for ref in refs])

        return await _measure(pipeline, len(submitted), submit)


async def measure_records(pipeline: Pipeline, jobs: int) -> Throughput:
    """Do the same with records of a producer that knows nothing of us: bytes of JSON on the topic ``jobs``.

    Their ids are made on the way, so their rows are counted, which reads the table each time.
    """
    routes = route_map(pipeline.names)
    values = [msgspec.json.encode(_job(number)) for number in range(jobs)]
    records = [NewRecord(routes.jobs, n % routes.partitions, None, value) for n, value in enumerate(values)]
    async with (
        appending(pipeline.kafka, client_id="benchmark") as appender,
        await JobsTable.connect(pipeline.database.conninfo) as table,
    ):
        already = await table.count_ended(NOOP)
        await appender.append([NewRecord(routes.jobs, 0, None, values[0])])
        await _until(lambda: table.count_ended(NOOP), already + 1)

        async def submit() -> Callable[[], Awaitable[None]]:
            for batch in _batches(records):
                await appender.append(batch)
            return lambda: _until(lambda: table.count_ended(NOOP), already + 1 + jobs)

        return await _measure(pipeline, jobs, submit)


async def until_queued(pipeline: Pipeline, pool: str, jobs: int) -> None:
    """Wait until so many dispatches stand in the buckets of a pool, and their jobs in the table.

    Raises
    ------
    BenchmarkError
        They do not come.
    """
    names = pipeline.names.model_copy(update={"pools": f"default,{pool}"})
    routes = route_map(names)
    places = [TopicPartition(t, p) for t in routes.executions(pool) for p in range(routes.partitions)]
    reader = KafkaReader(pipeline.kafka, client_id="benchmark")
    await reader.start()
    try:
        await _until(lambda: _records(reader, places), jobs)
    finally:
        await reader.close()
    async with await JobsTable.connect(pipeline.database.conninfo) as table:
        await _until(lambda: table.count_queued(pool), jobs)


async def _records(reader: KafkaReader, places: Sequence[TopicPartition]) -> int:
    return sum((await reader.end_offsets(places)).values())


def middle(rounds: tuple[Throughput, ...]) -> Throughput:
    """Give the median of each figure over all rounds."""
    names = rounds[0].cpu_us_per_job
    return Throughput(
        jobs=rounds[0].jobs,
        jobs_per_s=median(one.jobs_per_s for one in rounds),
        submitted_per_s=median(one.submitted_per_s for one in rounds),
        cpu_us_per_job={name: median(one.cpu_us_per_job.get(name, 0.0) for one in rounds) for name in names},
    )


def _job(number: int) -> Job:
    return {"type": NOOP, "payload": {"number": number, "to": f"customer-{number}@example.com"}}


def _batches(records: Sequence[NewRecord]) -> list[Sequence[NewRecord]]:
    return [records[start : start + BATCH] for start in range(0, len(records), BATCH)]


async def _measure(pipeline: Pipeline, jobs: int, submit: Submit) -> Throughput:
    before, cpu_s, began_s = pipeline.cpu_s(), time.process_time(), time.perf_counter()
    until_ended = await submit()
    submitted_s = time.perf_counter() - began_s
    await until_ended()
    elapsed_s = time.perf_counter() - began_s
    used = {CLIENT: time.process_time() - cpu_s} | cpu.difference(before, pipeline.cpu_s())
    return Throughput(
        jobs=jobs,
        jobs_per_s=round(jobs / elapsed_s, 1),
        submitted_per_s=round(jobs / submitted_s, 1),
        cpu_us_per_job={name: round(spent_s / jobs * 1e6, 1) for name, spent_s in used.items()},
    )


async def _until_ended(table: JobsTable, job_ids: Sequence[str]) -> None:
    pending, total = list(job_ids), len(job_ids)
    moved_s = time.monotonic()
    while pending:
        ended = await table.ended(pending[:ASKED])
        if ended:
            pending, moved_s = [job_id for job_id in pending if job_id not in ended], time.monotonic()
        _check_moving(len(pending), total, moved_s)
        await asyncio.sleep(_pause_s(len(pending), total) if pending else 0.0)


async def _until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    first = most = now = await count()
    moved_s = time.monotonic()
    while now < wanted:
        await asyncio.sleep(_pause_s(wanted - now, wanted - first))
        now = await count()
        if now > most:
            most, moved_s = now, time.monotonic()
        _check_moving(wanted - now, wanted - first, moved_s)


def _pause_s(left: int, total: int) -> float:
    """Ask more often as the end comes near."""
    return 0.02 + 0.5 * left / total


def _check_moving(left: int, total: int, moved_s: float) -> None:
    if time.monotonic() - moved_s > STALL_S:
        raise BenchmarkError(f"{left} of {total} jobs have not ended, and nothing moves")
