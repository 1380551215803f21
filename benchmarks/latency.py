"""Jobs at a fixed rate: how long each step of the way takes.

The load is open: a job is due at its time whatever became of the others, and every time counts
from then, so a stall is charged to all jobs that met it. Client and broker share this machine's clock. Claim
and closure are the broker's append times (whole milliseconds), the start is the executor's estimate of the
same clock. That a row is terminal is seen by asking every ``POLL_S``; the time between two answers is part of
the figure.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import cpu
from benchmarks.memory import proportional_mb
from benchmarks.pipeline import CLIENT, BenchmarkError, Pipeline
from benchmarks.results import Idle, Latency, Quantiles
from benchmarks.table import JobsTable, Times
from benchmarks.tasks import NOOP
from penstock.client.client import Client

POLL_S = 0.005
LATE_S = 60.0
"""A job without a terminal row this long after the last was due is not coming."""


@dataclass
class _Load:
    """What is known of the jobs of one run, by job id; milliseconds since 1970."""

    due_ms: dict[str, float] = field(default_factory=dict)
    acknowledged_ms: dict[str, float] = field(default_factory=dict)
    shown_ms: dict[str, float] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """Acknowledged, not seen as terminal yet."""
    order: dict[int, str] = field(default_factory=dict)
    """Job ids by number."""


@dataclass(frozen=True)
class Observed:
    """A load with the times of each job, in the order in which they were due; milliseconds since 1970."""

    latency: Latency
    elapsed_s: float
    """What the CPU in ``latency`` is a share of."""
    due_ms: list[float]
    shown_ms: list[float]
    """When each was seen as terminal."""


async def measure_idle(pipeline: Pipeline, seconds: float) -> Idle:
    """Watch a pipeline that has nothing to do."""
    before, began_s = pipeline.cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    elapsed_s = time.monotonic() - began_s
    percent = _percent(before, pipeline.cpu_s(), elapsed_s)
    return Idle(round(elapsed_s, 2), percent, proportional_mb(pipeline.units))


async def measure_latency(pipeline: Pipeline, per_s: float, seconds: float) -> Latency:
    """Submit no-op jobs at a rate and give how long after its time each came how far.

    Raises
    ------
    BenchmarkError
        A job did not end, or not well at the first try.
    """
    return (await observe(pipeline, per_s, seconds, lambda number: {"number": number})).latency


async def observe(
    pipeline: Pipeline, per_s: float, seconds: float, payload: Callable[[int], dict[str, Any]]
) -> Observed:
    """Do the same with these payloads, by number from 0, and give the times of each job too."""
    load = _Load()
    async with (
        Client(kafka=pipeline.kafka, database=pipeline.database, names=pipeline.names) as client,
        await JobsTable.connect(pipeline.database.conninfo) as table,
    ):
        await client.submit(NOOP)
        before, began_s = _cpu_with_client(pipeline), time.monotonic()
        sent = asyncio.Event()
        watching = asyncio.create_task(_watch(table, load, sent))
        try:
            await _submit_all(client, load, payload, per_s=per_s, jobs=round(per_s * seconds))
            sent.set()
            await watching
        finally:
            watching.cancel()
        elapsed_s = time.monotonic() - began_s
        percent = _percent(before, _cpu_with_client(pipeline), elapsed_s)
        times = await table.times(load.due_ms)
    latency = Latency(per_s, len(load.due_ms), _until(load, times), percent)
    ids = [load.order[number] for number in sorted(load.order)]
    return Observed(
        latency, elapsed_s, [load.due_ms[one] for one in ids], [load.shown_ms[one] for one in ids]
    )


def _cpu_with_client(pipeline: Pipeline) -> dict[str, float]:
    return pipeline.cpu_s() | {CLIENT: time.process_time()}


async def _submit_all(
    client: Client, load: _Load, payload: Callable[[int], dict[str, Any]], *, per_s: float, jobs: int
) -> None:
    began_ms = time.time() * 1000
    async with asyncio.TaskGroup() as tasks:
        for number in range(jobs):
            due_ms = began_ms + number * 1000 / per_s
            await asyncio.sleep(max(0.0, due_ms / 1000 - time.time()))
            tasks.create_task(_submit(client, load, number, payload(number), due_ms))


async def _submit(client: Client, load: _Load, number: int, payload: dict[str, Any], due_ms: float) -> None:
    ref = await client.submit(NOOP, payload)
    load.order[number] = ref.job_id
    load.acknowledged_ms[ref.job_id] = time.time() * 1000
    load.due_ms[ref.job_id] = due_ms
    load.pending.add(ref.job_id)


async def _watch(table: JobsTable, load: _Load, sent: asyncio.Event) -> None:
    """Note when each job is first seen as ended."""
    until_s = math.inf
    while load.pending or not sent.is_set():
        if load.pending:
            ended = await table.ended(load.pending)
            load.shown_ms |= dict.fromkeys(ended, time.time() * 1000)
            load.pending -= ended
        if sent.is_set():
            until_s = min(until_s, time.monotonic() + LATE_S)
        if time.monotonic() > until_s:
            raise BenchmarkError(f"{len(load.pending)} jobs have not ended {LATE_S:.0f} s after the last one")
        await asyncio.sleep(POLL_S)


def _until(load: _Load, times: Mapping[str, Times]) -> dict[str, Quantiles]:
    bad = [job_id for job_id in load.due_ms if job_id not in times or times[job_id].state != "succeeded"]
    if bad:
        raise BenchmarkError(f"{len(bad)} of {len(load.due_ms)} no-op jobs did not succeed at once")
    reached = {
        "acknowledged": load.acknowledged_ms,
        "claimed": {job_id: known.claimed_ms for job_id, known in times.items()},
        "started": {job_id: known.started_ms for job_id, known in times.items()},
        "closed in the ledger": {job_id: known.closed_ms for job_id, known in times.items()},
        "terminal row": load.shown_ms,
    }
    return {
        step: quantiles([at_ms[job_id] - due_ms for job_id, due_ms in load.due_ms.items()])
        for step, at_ms in reached.items()
    }


def quantiles(values_ms: Sequence[float]) -> Quantiles:
    """Give median, 99th and 99.9th percentile (nearest rank) and maximum of at least one value."""
    ordered = sorted(values_ms)

    def rank(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)

    return Quantiles(rank(0.5), rank(0.99), rank(0.999), rank(1.0))


def _percent(before: Mapping[str, float], after: Mapping[str, float], elapsed_s: float) -> dict[str, float]:
    used = cpu.difference(before, after)
    return {name: round(used_s / elapsed_s * 100, 2) for name, used_s in used.items()}
