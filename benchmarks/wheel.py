"""What jobs that wait cost the others, and how late many that are due at once are released.

First no-op jobs alone, then the same beside ``waiting`` jobs due hours later: memory of every process, jobs a
second, and latency at a fixed rate. Then ``due`` jobs are submitted ahead, due within ``span_s``, in the same
pipeline. How late each was let go is taken from the log: the append time of its record in ``jobs.ready``
less its ``run_at``, both by the broker's clock.
"""

import asyncio
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapters.kafka.reader import KafkaReader, reading
from benchmarks import cpu
from benchmarks.latency import measure_latency, quantiles
from benchmarks.memory import resident_mb
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.results import Burst, OthersBeside, Wheel
from benchmarks.table import JobsTable
from benchmarks.tasks import WAITING
from benchmarks.throughput import measure_throughput
from benchmarks.waiting import submit_portions, until
from core.log import TopicPartition
from penstock.client.submission import Job
from schemas.codec import decode_accepted
from schemas.topics import RouteMap

FIRST_DUE_S, LAST_DUE_S = 2 * 3600, 30 * 3600
"""When waiting jobs are due: beyond any run, in the three longest tiers."""
HEAD_START_S = 20.0
"""Between the last submit and the first due time: all of them are in the wheel by then, and hop."""
STALL_S = 120.0
ASK_S = 0.5
PER_S, LATENCY_S = 50.0, 20.0


@dataclass(frozen=True)
class WheelLoad:
    """How many jobs wait, how many others run beside them, and how many are due within ``span_s``."""

    waiting: int = 1_000_000
    others: int = 20_000
    due: int = 100_000
    span_s: float = 60.0
    rounds: int = 3


async def measure_wheel(data: Path, load: WheelLoad) -> Wheel:
    """Run all of it in a pipeline of its own.

    Raises
    ------
    BenchmarkError
        The pipeline could not be brought up, or did not do its work.
    """
    async with running(data) as pipeline:
        bench = _Bench(pipeline, load)
        await measure_throughput(pipeline, min(load.others, 2000))
        alone = await bench.others()
        filled_per_s = await bench.fill()
        beside = await bench.others()
        return Wheel(load.waiting, filled_per_s, alone, beside, await bench.burst(filled_per_s))


class _Bench:
    """The steps, on a pipeline that runs."""

    def __init__(self, pipeline: Pipeline, load: WheelLoad) -> None:
        self._pipeline = pipeline
        self._load = load
        self._routes = RouteMap(partitions=pipeline.names.partitions)

    async def others(self) -> OthersBeside:
        """Measure no-op jobs, and the memory of all processes afterwards."""
        rounds = [
            await measure_throughput(self._pipeline, self._load.others) for _ in range(self._load.rounds)
        ]
        latency = await measure_latency(self._pipeline, PER_S, LATENCY_S)
        return OthersBeside(
            tuple(one.jobs_per_s for one in rounds),
            tuple(round(one.total_us, 1) for one in rounds),
            latency.until,
            latency.cpu_percent,
            resident_mb(self._pipeline.units),
        )

    async def fill(self) -> float:
        """Put the waiting jobs into the wheel and into the table; give jobs a second."""
        began_s, now_s = time.monotonic(), time.time()
        step_s = (LAST_DUE_S - FIRST_DUE_S) / self._load.waiting
        due_s = (now_s + FIRST_DUE_S + step_s * number for number in range(self._load.waiting))
        await submit_portions(self._pipeline, map(_waiting, due_s))
        async with await JobsTable.connect(self._pipeline.database.conninfo) as table:
            waiting = self._load.waiting
            await until(
                lambda: table.count_waiting(WAITING), waiting, "jobs show as waiting", stall_s=STALL_S
            )
        return round(self._load.waiting / (time.monotonic() - began_s), 1)

    async def burst(self, filled_per_s: float) -> Burst:
        """Submit jobs ahead, all due within the span, and give how late each was let go.

        So far ahead that all are in the wheel by then, at a quarter of the pace at which others came there.

        Raises
        ------
        BenchmarkError
            They were not: what was measured would be how late ingest was.
        """
        load = self._load
        async with reading(self._pipeline.kafka, client_id="benchmark") as reader:
            ready = [TopicPartition(self._routes.ready, p) for p in range(self._routes.partitions)]
            await reader.assign(await reader.end_offsets(ready))
            first_s = time.time() + HEAD_START_S + load.due / (0.25 * filled_per_s)
            hops = self._hops()
            due_s = (first_s + load.span_s * number / load.due for number in range(load.due))
            await submit_portions(self._pipeline, map(_waiting, due_s))
            ahead_s = first_s - time.time()
            before, began_s = self._pipeline.cpu_s(), time.monotonic()
            await asyncio.sleep(max(0.0, first_s - time.time()))
            if (there := self._hops() - hops) < load.due:
                raise BenchmarkError(f"{there} of {load.due} jobs were in the wheel when the first was due")
            late_ms = await self._released(reader, load.due, first_s + load.span_s + STALL_S)
            used = cpu.difference(before, self._pipeline.cpu_s())
            elapsed_s = time.monotonic() - began_s
        return Burst(
            jobs=load.due,
            span_s=load.span_s,
            ahead_s=round(ahead_s, 1),
            early=sum(late < 0 for late in late_ms),
            late_ms=quantiles(late_ms),
            hops_a_job=round((self._hops() - hops) / load.due, 2),
            cpu_percent={name: round(spent_s / elapsed_s * 100, 1) for name, spent_s in used.items()},
        )

    async def _released(self, reader: KafkaReader, wanted: int, until_s: float) -> list[float]:
        late_ms: list[float] = []
        while len(late_ms) < wanted:
            if time.time() > until_s:
                raise BenchmarkError(f"{len(late_ms)} of {wanted} jobs were let go in time")
            for record in await reader.poll(ASK_S):
                job = decode_accepted(record)
                if job.type == WAITING and job.run_at_ms is not None:
                    late_ms.append(record.timestamp_ms - job.run_at_ms)
        return late_ms

    def _hops(self) -> int:
        """Add up what the schedulers put into the wheel so far."""
        total = 0.0
        for instance, port in self._pipeline.metrics.items():
            if instance.startswith("scheduler"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    lines = answer.read().decode().splitlines()
                total += sum(
                    float(line.rsplit(" ", 1)[1])
                    for line in lines
                    if line.startswith("penstock_wheel_hops_total{")
                )
        return int(total)


def _waiting(at_s: float) -> Job:
    return {"type": WAITING, "payload": {"n": 1}, "run_at": datetime.fromtimestamp(at_s, UTC)}
