"""Jobs through the order gate: how many a second, with many keys and with few, and what they cost."""

from benchmarks.pipeline import Pipeline
from benchmarks.results import GatedThroughput
from benchmarks.tasks import NOOP
from benchmarks.throughput import measure_backlog
from penstock.client.submission import Job

JOBS_PER_KEY = 10
"""Of the load with many keys: nine of ten jobs wait once."""
ONE_KEY_JOBS = 200
"""Run one at a time, so this load says how long a key takes from one job to the next."""


async def measure_gates(pipeline: Pipeline, jobs: int) -> tuple[GatedThroughput, ...]:
    """Submit ordered no-op jobs at once, with many keys and then with one, and wait for the last row.

    Raises
    ------
    benchmarks.pipeline.BenchmarkError
        The rows stopped coming.
    """
    loads = ((jobs, max(1, jobs // JOBS_PER_KEY)), (min(jobs, ONE_KEY_JOBS), 1))
    return tuple([await _measure(pipeline, count, keys) for count, keys in loads])


async def _measure(pipeline: Pipeline, jobs: int, keys: int) -> GatedThroughput:
    found = await measure_backlog(pipeline, [_job(number, number % keys) for number in range(jobs)])
    return GatedThroughput(keys=keys, throughput=found)


def _job(number: int, key: int) -> Job:
    return {"type": NOOP, "payload": {"number": number}, "ordering_key": f"key-{key}"}
