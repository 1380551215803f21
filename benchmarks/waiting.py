"""Submitting very many jobs, and waiting for what becomes of them, as long as anything moves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

from adapters.kafka.reader import reading
from adapters.kafka.topology import route_map
from benchmarks.pipeline import BenchmarkError, Pipeline
from benchmarks.table import JobsTable
from core.log import TopicPartition
from penstock.client.client import Client
from penstock.client.submission import Job

STALL_S = 60.0
"""Nothing further for this long means that something is broken."""
PORTION = 5000
"""Jobs of one call, where nobody measures the client."""
ASKED = 2000
"""Unfinished jobs asked for in one question: what it costs does not rise with the table."""


async def submit_portions(pipeline: Pipeline, jobs: Iterable[Job]) -> None:
    """Submit jobs, made as they go."""
    left = iter(jobs)
    async with Client(kafka=pipeline.kafka, database=pipeline.database, names=pipeline.names) as client:
        while portion := list(islice(left, PORTION)):
            await client.submit_many(portion)


async def until(
    count: Callable[[], Awaitable[int]], wanted: int, what: str, *, stall_s: float = STALL_S
) -> int:
    """Wait until ``count`` gives so many, asking more often as the end comes near; give what it gave.

    Raises
    ------
    BenchmarkError
        It did not rise for ``stall_s``.
    """
    moved_s = asked_s = time.monotonic()
    first = most = now = await count()
    while now < wanted:
        # Counting may read a whole table: while the end is far, most of the time nobody asks.
        rest_s = 4 * (time.monotonic() - asked_s)
        await asyncio.sleep(_pause_s(wanted - now, wanted - first, rest_s))
        asked_s = time.monotonic()
        now = await count()
        if now > most:
            most, moved_s = now, time.monotonic()
        _check_moving(f"{now} of {wanted} {what}", moved_s, stall_s)
    return now


async def until_ended(table: JobsTable, job_ids: Sequence[str]) -> None:
    """Wait until the rows of these jobs are terminal; errors as ``until``."""
    pending, total = list(job_ids), len(job_ids)
    moved_s = time.monotonic()
    while pending:
        ended = await table.ended(pending[:ASKED])
        if ended:
            pending, moved_s = [job_id for job_id in pending if job_id not in ended], time.monotonic()
        _check_moving(f"{total - len(pending)} of {total} jobs have ended", moved_s, STALL_S)
        await asyncio.sleep(_pause_s(len(pending), total) if pending else 0.0)


async def until_in_buckets(pipeline: Pipeline, pool: str, jobs: int, *, stall_s: float = STALL_S) -> None:
    """Wait until so many dispatches stand in the buckets of a pool; errors as ``until``."""
    routes = route_map(pipeline.names.model_copy(update={"pools": pool}))
    places = [TopicPartition(t, p) for t in routes.executions(pool) for p in range(routes.partitions)]
    async with reading(pipeline.kafka, client_id="benchmark") as reader:

        async def records() -> int:
            return sum((await reader.end_offsets(places)).values())

        await until(records, jobs, "dispatches are queued", stall_s=stall_s)


def _pause_s(left: int, total: int, rest_s: float = 0.0) -> float:
    return 0.02 + (0.5 + rest_s) * left / total


def _check_moving(how_far: str, moved_s: float, stall_s: float) -> None:
    if time.monotonic() - moved_s > stall_s:
        raise BenchmarkError(f"{how_far}, and nothing moves")
