"""Do queues pool? Heavy-tailed jobs at an open load, measured against one queue and against islands.

The same arrivals and run times go through the real pipeline, with stealing on and off, and through the
simulation of one queue for all slots and of one queue an executor. A wait is from the moment a dispatch
stood in its bucket until its executor handed it to a worker, so claim, read-back and start are in it, which
the simulation gives for nothing.
"""

import asyncio
import math
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.latency import LATE_S
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.queueing import Arrival, island_waits, shared_waits
from benchmarks.results import Stealing, StealingRun, Waits
from benchmarks.table import Dispatch, JobsTable
from benchmarks.tasks import SLEEP
from core.buckets import bucket_head_start_s
from core.sharing import share_out
from penstock.client.client import Client
from penstock.identity import home

PARTITIONS = 16
EXECUTORS = 4
SLOTS = 4
"""Of each executor, in one worker process."""
SIGMA = 1.5
"""Of the logarithm of run times, which are lognormal: a heavy tail."""
LONGEST = 10.0
"""Longest run in terms of the mean: the tail is cut, or one job decides a figure and how long a run takes."""
PER_DECADE_S = 1200.0
"""Default of the executors."""
SEED = 20_261
ASK_S = 0.5
SETTLE_S = 10.0
"""After the start, before the first job: all executors have joined and partitions have stopped moving."""


@dataclass(frozen=True)
class Load:
    """An open load of sleeping jobs; ``load`` is of all slots, ``mean_run_s`` the mean of the sample."""

    seconds: float
    load: float = 0.9
    mean_run_s: float = 6.0


def draw(load: Load, seed: int = SEED) -> list[tuple[float, float]]:
    """Give (due, run time) of every job: Poisson arrivals, lognormal run times of exactly that mean."""
    dice = random.Random(seed)
    per_s = load.load * EXECUTORS * SLOTS / load.mean_run_s
    due: list[float] = []
    at_s = dice.expovariate(per_s)
    while at_s < load.seconds:
        due.append(at_s)
        at_s += dice.expovariate(per_s)
    runs = [_run_s(dice) for _ in due]
    scale = load.mean_run_s * len(runs) / sum(runs)
    return [(due_s, run_s * scale) for due_s, run_s in zip(due, runs, strict=True)]


def _run_s(dice: random.Random) -> float:
    while (run_s := dice.lognormvariate(-SIGMA * SIGMA / 2, SIGMA)) > LONGEST:
        pass
    return run_s


async def measure_stealing(data: Path, load: Load) -> Stealing:
    """Run the load twice, in two pipelines of their own below ``data``.

    Raises
    ------
    BenchmarkError
        A pipeline could not be brought up, or a job did not succeed at once.
    """
    runs = [await _measured(data / steal, load, steal) for steal in ("on", "off")]
    return Stealing(PARTITIONS, EXECUTORS, SLOTS, load.load, load.mean_run_s, SIGMA, tuple(runs))


async def _measured(data: Path, load: Load, steal: str) -> StealingRun:
    settings = {
        "PENSTOCK_PARTITIONS": str(PARTITIONS),
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_SLOTS": str(SLOTS),
        "PENSTOCK_STEAL": steal,
    }
    async with running(data, settings=settings, executors=EXECUTORS) as pipeline:
        await asyncio.sleep(SETTLE_S)
        before, began_s = pipeline.cpu_s(), time.monotonic()
        found = await _through(pipeline, draw(load))
        elapsed_s = time.monotonic() - began_s
        cpu_s = sum(pipeline.cpu_s().values()) - sum(before.values())
        claims = await asyncio.to_thread(_claims, pipeline)
    return _run_of(steal, found, claims, cpu_s / elapsed_s * 100)


async def _through(pipeline: Pipeline, jobs: Sequence[tuple[float, float]]) -> dict[str, Dispatch]:
    """Submit each job at its time, wait until all have ended, and give what became of them."""
    async with (
        Client(kafka=pipeline.kafka, database=pipeline.database, names=pipeline.names) as client,
        await JobsTable.connect(pipeline.database.conninfo) as table,
    ):
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            submitted = []
            for due_s, run_s in jobs:
                await asyncio.sleep(max(0.0, began_s + due_s - time.monotonic()))
                submitted.append(tasks.create_task(client.submit(SLEEP, {"s": run_s})))
        ids = [(await task).job_id for task in submitted]
        until_s = time.monotonic() + LATE_S + max(run_s for _, run_s in jobs) * 2
        while await table.count_ended(SLEEP) < len(ids):
            if time.monotonic() > until_s:
                raise BenchmarkError("not all sleeping jobs have ended")
            await asyncio.sleep(ASK_S)
        return await table.dispatches(ids)


def _claims(pipeline: Pipeline) -> dict[str, int]:
    """Add up the executors' counters of claims, as ``source result``."""
    found: Counter[str] = Counter()
    for instance, port in pipeline.metrics.items():
        if not instance.startswith("executor"):
            continue
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("penstock_claims_total{"):
                    labels, _, value = line.partition("{")[2].partition("} ")
                    named = dict(pair.split("=") for pair in labels.replace('"', "").split(","))
                    found[f"{named['source']} {named['result']}"] += int(float(value))
    return dict(sorted(found.items()))


def _run_of(
    steal: str, found: Mapping[str, Dispatch], claims: Mapping[str, int], cpu_percent: float
) -> StealingRun:
    jobs = list(found.items())
    if bad := [job_id for job_id, one in jobs if one.state != "succeeded" or one.dispatches != 1]:
        raise BenchmarkError(f"{len(bad)} of {len(jobs)} sleeping jobs did not succeed at once")
    owner = owners()
    arrivals = [
        Arrival(
            one.queued_ms / 1000,
            one.run_s,
            bucket_head_start_s(one.bucket, PER_DECADE_S),
            owner[home(job_id, PARTITIONS)],
        )
        for job_id, one in jobs
    ]
    occupied = [
        arrival._replace(run_s=arrival.run_s + (one.started_ms - one.claimed_ms) / 1000)
        for arrival, (_, one) in zip(arrivals, jobs, strict=True)
    ]
    return StealingRun(
        steal,
        len(jobs),
        waits_of([(one.started_ms - one.queued_ms) / 1000 for _, one in jobs]),
        waits_of(shared_waits(arrivals, EXECUTORS * SLOTS)),
        waits_of(shared_waits(occupied, EXECUTORS * SLOTS)),
        waits_of(island_waits(arrivals, SLOTS)),
        dict(claims),
        round(cpu_percent, 1),
    )


def owners() -> dict[int, int]:
    """Give the executor that owns each partition, as their group shares them out."""
    names = [f"executor-{number}" for number in range(EXECUTORS)]
    shares = share_out(range(PARTITIONS), {name: name for name in names})
    return {partition: names.index(name) for name, share in shares.items() for partition in share}


def waits_of(waits_s: Sequence[float]) -> Waits:
    """Give mean, quantiles (nearest rank) and maximum of at least one wait."""
    ordered = sorted(waits_s)

    def rank(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)

    return Waits(round(sum(ordered) / len(ordered), 3), rank(0.5), rank(0.95), rank(0.99), rank(1.0))
