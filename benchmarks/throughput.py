"""A backlog of no-op jobs: how fast it drains, and what each process spends on a job."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median

from benchmarks import cpu
from benchmarks.pipeline import CLIENT, BenchmarkError, Pipeline
from benchmarks.results import Throughput
from benchmarks.table import JobsTable
from benchmarks.tasks import NOOP
from penstock.client.client import Client
from penstock.client.submission import Job

STALL_S = 60.0
"""No further row for this long means that something is broken."""


async def measure_throughput(pipeline: Pipeline, jobs: int) -> Throughput:
    """Submit so many at once and wait for the last row; errors as ``measure_backlog``."""
    return await measure_backlog(pipeline, [_job(number) for number in range(jobs)])


async def measure_backlog(pipeline: Pipeline, submitted: Sequence[Job], type_: str = NOOP) -> Throughput:
    """Submit these jobs of one type at once and wait for the last row.

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
        jobs = len(submitted)
        await client.submit(type_)
        already = await _until_ended(table, type_, await table.count_ended(type_) + 1)
        before, cpu_s, began_s = pipeline.cpu_s(), time.process_time(), time.perf_counter()
        await client.submit_many(submitted)
        submitted_s = time.perf_counter() - began_s
        await _until_ended(table, type_, already + jobs)
        elapsed_s = time.perf_counter() - began_s
        used = {CLIENT: time.process_time() - cpu_s} | cpu.difference(before, pipeline.cpu_s())
    return Throughput(
        jobs=jobs,
        jobs_per_s=round(jobs / elapsed_s, 1),
        submitted_per_s=round(jobs / submitted_s, 1),
        cpu_us_per_job={name: round(spent_s / jobs * 1e6, 1) for name, spent_s in used.items()},
    )


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


async def _until_ended(table: JobsTable, type_: str, wanted: int) -> int:
    """Ask more often as the end comes near, since each question reads the whole table."""
    ended, moved_s = 0, time.monotonic()
    while True:
        now = await table.count_ended(type_)
        if now >= wanted:
            return now
        if now > ended:
            ended, moved_s = now, time.monotonic()
        if time.monotonic() - moved_s > STALL_S:
            raise BenchmarkError(f"{wanted - now} of {wanted} jobs have not ended, and nothing moves")
        await asyncio.sleep(0.02 + 0.5 * (wanted - now) / wanted)
