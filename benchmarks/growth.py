"""What a job costs beside ever more rows in the table, jobs in the queue, and types of jobs.

The same no-op jobs run at once each time; only what stands beside them grows. Partitions have a part of their
own, ``costs``, since they need a pipeline each.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import psycopg

from benchmarks.pipeline import APP, Pipeline, running
from benchmarks.results import GrowthPoint
from benchmarks.table import JobsTable
from benchmarks.tasks import MANY, NOOP
from benchmarks.throughput import a_job, measure_backlog, warm_up
from benchmarks.waiting import submit_portions, until, until_in_buckets

IDLE = "idle"
"""A pool without executors: what is sent there stays queued."""
SETTINGS = {"PENSTOCK_POOLS": f"default,{IDLE}", "PENSTOCK_JANITOR_S": "86400"}
MANY_APP = "benchmarks.many_tasks"
ROWS = 1_000_000
"""Of one statement."""

_FILL = """
    WITH made AS (
        INSERT INTO jobs (job_id, tenant, type, pool, state, state_rank, attempt, max_attempts, priority,
            bucket, head_start_s, labels, payload, payload_bytes, origin_epoch, origin_partition,
            origin_offset, verdict_offset, submitted_at, ready_at, queued_at, started_at, finished_at,
            executor_id, result, trace_id, updated_at, dispatch, queued_dispatch, run_s, timeout_s)
        SELECT gen_random_uuid(), 'tenant-' || mod(n, 50), 'bench.filled', 'default', 'succeeded', 100, 1, 5,
            5, 2, 0, '{}', jsonb_build_object('number', n, 'to', 'customer-' || n || '@example.com'), 50,
            'filled', mod(n, 4), n, n, at, at, at, at, at, 'executor-0-filled', 'null', md5(n::text), at, 1,
            1, 0.001, 300
        FROM generate_series(%s::bigint, %s::bigint) AS n,
            LATERAL (SELECT now() - interval '30 days' + n * interval '0.2 s') AS t (at)
        RETURNING job_id, executor_id, started_at, finished_at, run_s, verdict_offset
    )
    INSERT INTO job_attempts (job_id, n, attempt, executor_id, claimed_at, started_at, finished_at, outcome,
        run_s, claim_offset, closure_offset)
    SELECT job_id, 1, 1, executor_id, started_at, started_at, finished_at, 'succeeded', run_s, verdict_offset,
        verdict_offset
    FROM made
"""


async def measure_growth(
    data: Path, jobs: int, rounds: int, sizes: dict[str, Sequence[int]], say: Callable[[str], None]
) -> tuple[GrowthPoint, ...]:
    """Measure every size, smallest first, each kind on a pipeline of its own.

    Parameters
    ----------
    sizes
        Of ``rows``, ``queued`` and ``types``, rising.

    Raises
    ------
    benchmarks.pipeline.BenchmarkError
        A pipeline could not be brought up, or did not do its work.
    """
    found: list[GrowthPoint] = []
    for what, wanted in sizes.items():
        app = {"PENSTOCK_APP": f"{APP},{MANY_APP}"} if what == "types" else {}
        async with running(data / what, settings=SETTINGS | app) as pipeline:
            await warm_up(pipeline)
            for before, size in pairwise((0, *wanted)):
                say(f"{jobs} jobs beside {size:,} {what}")
                if what == "rows":
                    await _fill(pipeline, before, size)
                elif what == "queued":
                    await _queue(pipeline, before, size)
                types = [MANY.format(n) for n in range(size)] if what == "types" else [NOOP]
                load = [a_job(number, types[number % len(types)]) for number in range(jobs)]
                made = [await measure_backlog(pipeline, load) for _ in range(rounds)]
                found.append(GrowthPoint(what, size, tuple(made)))
    return tuple(found)


async def _fill(pipeline: Pipeline, before: int, size: int) -> None:
    """Add rows of jobs that ended, with their attempts, as if the materializer had written them long ago."""
    async with await psycopg.AsyncConnection.connect(
        pipeline.database.conninfo, autocommit=True
    ) as connection:
        for start in range(before, size, ROWS):
            span = (start, min(size, start + ROWS) - 1)
            await connection.execute(_FILL, span)
        # What a database does in the background after so many rows is not what is measured.
        await connection.execute("VACUUM (ANALYZE) jobs, job_attempts")
        await connection.execute("CHECKPOINT")


async def _queue(pipeline: Pipeline, before: int, size: int) -> None:
    """Submit jobs to a pool without executors, and wait until all are queued and have their rows."""
    await submit_portions(pipeline, (a_job(number) | {"pool": IDLE} for number in range(before, size)))
    await until_in_buckets(pipeline, IDLE, size)
    async with await JobsTable.connect(pipeline.database.conninfo) as table:
        await until(lambda: table.count_queued(IDLE), size, "jobs show as queued")
