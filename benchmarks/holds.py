"""What it costs to hold very many jobs: memory, time to park and to hand on, and what others notice.

``python -m benchmarks.holds [--jobs N] [--payload-bytes N] [--rate N] [--data DIR]`` prints one JSON object a
phase. Jobs of one type are paused; jobs of another go on at ``--rate`` and are timed before, while the first
are held, and from their resume on.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from adapters.kafka.appender import KafkaAppender, appending
from adapters.kafka.reader import KafkaReader, reading
from adapters.kafka.topology import route_map
from benchmarks.latency import measure_latency
from benchmarks.machine import data_directory
from benchmarks.memory import resident_mb
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.tasks import SLEEP
from core.log import NewRecord, TopicPartition
from core.subjects import Scope
from schemas.control import PauseRecord
from schemas.standing_orders import pause_record
from schemas.topics import RouteMap

BATCH = 500
QUIET_S = 20.0
TIMED_S = 10.0
PAUSE_KNOWN_S = 1.0


class Bench(NamedTuple):
    """What the phases work with."""

    pipeline: Pipeline
    routes: RouteMap
    appender: KafkaAppender
    reader: KafkaReader
    rate: float

    async def end(self, *topics: str) -> int:
        """Give how many records were ever appended to topics."""
        places = [TopicPartition(name, number) for name in topics for number in range(self.routes.partitions)]
        return sum((await self.reader.end_offsets(places)).values())

    async def until_end(self, topic: str, count: int) -> float:
        """Wait until a topic has had so many records; give the seconds."""
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(0.1)
            if await self.end(topic) >= count:
                return round(time.monotonic() - began_s, 1)

    async def timed(self, seconds: float = TIMED_S) -> dict[str, Any]:
        """Time jobs of the other type: p50, p99 and the longest by step, milliseconds."""
        try:
            latency = await measure_latency(self.pipeline, self.rate, seconds)
        except BenchmarkError as error:
            return {"late": str(error)}
        return {name: (one.p50, one.p99, one.max) for name, one in latency.until.items()}

    async def paused(self, *, paused: bool) -> None:
        """Pause or resume."""
        await self.appender.append([pause_record(self.routes, PauseRecord(Scope.TYPE, SLEEP, paused))])

    def memory_mb(self) -> dict[str, float]:
        """Give the resident memory of every process of ours."""
        names = ("ingest", "scheduler", "prioritizer", "executor", "dlq_handler", "materializer")
        return resident_mb({p: name for p, name in self.pipeline.units.items() if name.startswith(names)})


def say(**line: object) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def submit(bench: Bench, jobs: int, payload_bytes: int) -> None:
    """Append jobs of the paused type as any producer does."""
    value = json.dumps({"type": SLEEP, "payload": {"s": 0, "text": "x" * payload_bytes}}).encode()
    for start in range(0, jobs, BATCH):
        numbers = range(start, min(start + BATCH, jobs))
        await bench.appender.append(
            [NewRecord(bench.routes.jobs, n % bench.routes.partitions, None, value) for n in numbers]
        )


async def until_succeeded(bench: Bench, jobs: int) -> float:
    """Wait until so many jobs of the paused type succeeded; give the seconds."""
    began_s = time.monotonic()
    query = "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND type = %s"
    async with await psycopg.AsyncConnection.connect(
        bench.pipeline.database.conninfo, autocommit=True
    ) as connection:
        while True:
            row = await (await connection.execute(query, (SLEEP,))).fetchone()
            if row is not None and row[0] >= jobs:
                return round(time.monotonic() - began_s, 1)
            await asyncio.sleep(0.5)


async def measure(bench: Bench, jobs: int, payload_bytes: int) -> None:
    """Go through the phases."""
    routes = bench.routes
    say(phase="before", others_ms=await bench.timed(), memory_mb=bench.memory_mb())

    await bench.paused(paused=True)
    await asyncio.sleep(PAUSE_KNOWN_S)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(submit(bench, jobs, payload_bytes))
        # Others are not timed meanwhile: whatever is paused, they wait behind so many in `jobs`.
        parked = tasks.create_task(bench.until_end(routes.held, jobs))
    say(phase="parked", jobs=jobs, seconds=parked.result(), memory_mb=bench.memory_mb())

    moved = (routes.held, routes.ready, *routes.executions("default"), *routes.delays)
    await asyncio.sleep(5)
    before, cpu_before = await bench.end(*moved), bench.pipeline.cpu_s()
    await asyncio.sleep(QUIET_S)
    used = {
        name: round(100 * (used_s - cpu_before.get(name, 0.0)) / QUIET_S, 1)
        for name, used_s in bench.pipeline.cpu_s().items()
    }
    say(phase="held", records_moved=await bench.end(*moved) - before, cpu_percent=used)
    say(phase="held", others_ms=await bench.timed(), memory_mb=bench.memory_mb())

    ready = await bench.end(routes.ready)
    await bench.paused(paused=False)
    async with asyncio.TaskGroup() as tasks:
        handed = tasks.create_task(bench.until_end(routes.ready, ready + jobs))
        ended = tasks.create_task(until_succeeded(bench, jobs))
        others = tasks.create_task(bench.timed())
    say(
        phase="resumed",
        handed_on_s=handed.result(),
        succeeded_s=ended.result(),
        others_ms=others.result(),
        memory_mb=bench.memory_mb(),
    )


async def run(options: argparse.Namespace, data: Path) -> None:
    """Measure on a pipeline of its own."""
    async with running(data) as pipeline:
        routes = route_map(pipeline.names)
        async with (
            appending(pipeline.kafka, client_id="benchmark") as appender,
            reading(pipeline.kafka, client_id="benchmark") as reader,
        ):
            bench = Bench(pipeline, routes, appender, reader, options.rate)
            await measure(bench, options.jobs, options.payload_bytes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--payload-bytes", type=int, default=300)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    with data_directory("holds", options.data) as data:
        asyncio.run(run(options, data))


if __name__ == "__main__":
    main()
