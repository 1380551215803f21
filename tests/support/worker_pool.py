"""A worker pool under test: jobs to run, outcomes to wait for."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from penstock.worker.frames import JobOutcome, StartJob
from services.executor.workers.options import PoolOptions
from services.executor.workers.pool import WorkerPool

INTEGRATION = Path(__file__).resolve().parents[1] / "integration"
APP = INTEGRATION / "worker_app"
DEADLINE_S = 20


def job(
    number: int, task: str, payload: object = None, timeout_s: float = 60.0, **overrides: Any
) -> StartJob:
    made = StartJob(
        key=f"epoch:0:{number}/1",
        job_id=f"job-{number}",
        type=task,
        tenant="default",
        attempt=1,
        dispatch=1,
        deadline_ms=None,
        labels={},
        payload=msgspec.json.encode({} if payload is None else payload),
        timeout_s=timeout_s,
    )
    return msgspec.structs.replace(made, **overrides)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[WorkerPool]:
    settings = {"app": ("jobs_of_tests",), "app_path": (str(APP),), "timeout_grace_s": 0.3, **options}
    pool = WorkerPool(PoolOptions(**settings))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop(0.0)


async def outcomes(pool: WorkerPool, count: int) -> dict[int, JobOutcome]:
    """Wait for this many outcomes, by the jobs' numbers."""
    found: dict[int, JobOutcome] = {}
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            for outcome in await pool.outcomes():
                number = int(outcome.key.split("/")[0].rsplit(":", 1)[1])
                assert number not in found, "a second outcome of one job"
                found[number] = outcome
    return found


async def outcome_of(pool: WorkerPool, one: StartJob) -> JobOutcome:
    pool.submit([one])
    (only,) = (await outcomes(pool, 1)).values()
    return only


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@contextmanager
def parent_process(lease_s: float) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    script = str(INTEGRATION / "parent_of_worker.py")
    environment = {**os.environ, "PYTHONPATH": str(INTEGRATION.parents[1])}
    with subprocess.Popen(
        [sys.executable, script, str(APP), str(lease_s)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        try:
            yield parent, [int(pid) for pid in parent.stdout.readline().split()]
        finally:
            parent.kill()
