"""A backlog of no-op jobs: how fast it drains, and what each process spends on a job."""

import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import msgspec

from adapters.kafka.appender import appending
from adapters.kafka.topology import route_map
from benchmarks import cpu
from benchmarks.pipeline import CLIENT, Pipeline
from benchmarks.results import Throughput
from benchmarks.table import JobsTable
from benchmarks.tasks import NOOP
from benchmarks.waiting import until, until_ended
from core.log import NewRecord
from penstock.client.client import Client
from penstock.client.submission import Job

WARM_UP_JOBS = 500
"""Connections, prepared statements, compiled Java: their costs come once."""
BATCH = 500
"""Records of one call of a producer of its own."""

Submit = Callable[[], Awaitable[Callable[[], Awaitable[None]]]]
"""Submits all, and gives what waits for their rows."""


async def warm_up(pipeline: Pipeline) -> None:
    """Let a pipeline that has just been brought up do some work."""
    await measure_throughput(pipeline, WARM_UP_JOBS)


async def measure_throughput(pipeline: Pipeline, jobs: int) -> Throughput:
    """Submit so many at once and wait for the last row; errors as ``measure_backlog``."""
    return await measure_backlog(pipeline, [a_job(number) for number in range(jobs)])


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
        await until_ended(table, [(await client.submit(type_)).job_id])

        async def submit() -> Callable[[], Awaitable[None]]:
            refs = await client.submit_many(submitted)
            return lambda: until_ended(table, [ref.job_id for ref in refs])

        return await _measure(pipeline, len(submitted), submit)


async def measure_records(pipeline: Pipeline, jobs: int) -> Throughput:
    """Do the same with records of a producer that knows nothing of us: bytes of JSON on the topic ``jobs``.

    Their ids are made on the way, so their rows are counted, which reads the table each time.
    """
    routes = route_map(pipeline.names)
    values = [msgspec.json.encode(a_job(number)) for number in range(jobs)]
    records = [NewRecord(routes.jobs, n % routes.partitions, None, value) for n, value in enumerate(values)]
    async with (
        appending(pipeline.kafka, client_id="benchmark") as appender,
        await JobsTable.connect(pipeline.database.conninfo) as table,
    ):

        async def ended(jobs: int) -> None:
            await until(lambda: table.count_ended(NOOP), jobs, "jobs have ended")

        already = await table.count_ended(NOOP)
        await appender.append([NewRecord(routes.jobs, 0, None, values[0])])
        await ended(already + 1)

        async def submit() -> Callable[[], Awaitable[None]]:
            for start in range(0, jobs, BATCH):
                await appender.append(records[start : start + BATCH])
            return lambda: ended(already + 1 + jobs)

        return await _measure(pipeline, jobs, submit)


def middle(rounds: tuple[Throughput, ...]) -> Throughput:
    """Give the median of each figure over all rounds."""
    names = rounds[0].cpu_us_per_job
    return Throughput(
        jobs=rounds[0].jobs,
        jobs_per_s=median(one.jobs_per_s for one in rounds),
        submitted_per_s=median(one.submitted_per_s for one in rounds),
        cpu_us_per_job={name: median(one.cpu_us_per_job.get(name, 0.0) for one in rounds) for name in names},
    )


def a_job(number: int, type_: str = NOOP) -> Job:
    """Make a job that costs nothing."""
    return {"type": type_, "payload": {"number": number, "to": f"customer-{number}@example.com"}}


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
