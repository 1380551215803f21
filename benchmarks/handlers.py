"""What a worker process adds to a task: from hand-over to outcome, less the time in the handler.

A worker pool alone, without broker and database: jobs go to one worker over its socket and come back as
outcomes, as in an executor. What the pipeline around it takes is in throughput and latency.
"""

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

import msgspec

from benchmarks import cpu
from benchmarks.latency import quantiles
from benchmarks.pipeline import APP, BenchmarkError
from benchmarks.results import HandlerCost
from benchmarks.sample import start_job
from benchmarks.tasks import NOOP, PLAIN
from penstock.worker.frames import StartJob
from services.executor.workers.options import PoolOptions
from services.executor.workers.pool import WorkerPool

WEBHOOK = "http.request"
ALLOW_PRIVATE = "PENSTOCK_HTTP_ALLOW_PRIVATE"
WARM_UP = 0.2
"""Of the jobs that are measured, as many more before them."""
TOGETHER = 32
"""As many at once as a worker has slots."""
BATCHED = 5
"""Times as many jobs in batches: CPU of another process is known to 10 ms."""


async def measure_handlers(jobs: int) -> tuple[HandlerCost, ...]:
    """Run jobs one at a time, then in batches: of an async task, of a sync one, and webhooks.

    Raises
    ------
    benchmarks.pipeline.BenchmarkError
        A job failed.
    """
    async with _answering() as url, _one_worker() as pool:
        payloads: dict[str, dict[str, object]] = {NOOP: {}, PLAIN: {}, WEBHOOK: {"url": url, "json": {}}}
        return tuple([await _measured(pool, task, payload, jobs) for task, payload in payloads.items()])


async def _measured(pool: WorkerPool, task: str, payload: dict[str, object], jobs: int) -> HandlerCost:
    raw = msgspec.json.encode(payload)
    await _added_ms(pool, task, raw, round(jobs * WARM_UP))
    alone_ms = await _added_ms(pool, task, raw, jobs)
    batches = math.ceil(jobs * BATCHED / TOGETHER)
    before_s = _used_s(pool)
    for _ in range(batches):
        await _run(pool, [_job(task, raw, number) for number in range(TOGETHER)])
    cpu_us = (_used_s(pool) - before_s) / (batches * TOGETHER) * 1e6
    return HandlerCost(task, jobs, quantiles(alone_ms), round(cpu_us, 1))


async def _added_ms(pool: WorkerPool, task: str, payload: bytes, jobs: int) -> list[float]:
    found: list[float] = []
    for number in range(jobs):
        began_s = time.perf_counter()
        run_s = await _run(pool, [_job(task, payload, number)])
        found.append((time.perf_counter() - began_s - run_s) * 1000)
    return found


async def _run(pool: WorkerPool, jobs: list[StartJob]) -> float:
    """Give the seconds in handlers, added up."""
    pool.submit(jobs)
    left, run_s = len(jobs), 0.0
    while left:
        for outcome in await pool.outcomes():
            if not outcome.ok:
                raise BenchmarkError(f"a job of {jobs[0].type} failed: {outcome.message}")
            left -= 1
            run_s += outcome.run_s
    return run_s


def _job(task: str, payload: bytes, number: int) -> StartJob:
    return start_job(task, f"bench:0:{number}/1", f"job-{number}", payload)


def _used_s(pool: WorkerPool) -> float:
    """Give the CPU of both sides, the task's own included."""
    return time.process_time() + sum(cpu.used_s(dict.fromkeys(pool.pids, cpu.WORKERS)).values())


@contextlib.asynccontextmanager
async def _one_worker() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(PoolOptions(workers=1, slots_per_worker=TOGETHER, app=(APP,)))
    with _webhooks_to_this_machine():
        await pool.start()
    try:
        yield pool
    finally:
        await pool.stop(0.0)


@contextlib.contextmanager
def _webhooks_to_this_machine() -> Iterator[None]:
    """Let workers that start meanwhile send to private addresses, which is off by default."""
    before = os.environ.get(ALLOW_PRIVATE)
    os.environ[ALLOW_PRIVATE] = "true"
    try:
        yield
    finally:
        del os.environ[ALLOW_PRIVATE]
        if before is not None:
            os.environ[ALLOW_PRIVATE] = before


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[str]:
    """Run a server that answers at once, in a process of its own."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.answering",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await server.stdout.readline())}/"
    finally:
        server.stdin.close()
        await server.wait()
