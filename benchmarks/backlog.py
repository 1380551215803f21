"""Memory and throughput with a backlog: ``python -m benchmarks.backlog [--jobs N]``.

Queues N jobs while the only executor is drained, restarts every service in turn, then lets the executor
work for a while. Resident memory of each service is read after every step: before the jobs, when all are
queued, when all have rows, after its restart, and at the end.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping

from adapters.embedded.home import Home
from adapters.embedded.state import read_state
from adapters.kafka.appender import appending
from benchmarks import cpu
from benchmarks.machine import data_directory
from benchmarks.memory import resident_mb
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.table import JobsTable
from benchmarks.tasks import NOOP
from benchmarks.throughput import a_job
from benchmarks.waiting import submit_portions, until, until_in_buckets
from core.log import NewRecord
from core.services import SERVICES
from schemas.codec import encode
from schemas.control import DrainRecord
from schemas.topics import RouteMap

EXECUTOR = "executor-0"
STALL_S = 300.0
SETTLE_S = 10.0
"""After a restart: long enough to have read whatever a service reads before it works."""


class Backlog:
    """The steps, on a pipeline that runs."""

    def __init__(self, pipeline: Pipeline, home: Home) -> None:
        self._pipeline = pipeline
        self._home = home
        self._routes = RouteMap(partitions=pipeline.names.partitions)
        self.resident_mb: dict[str, dict[str, float]] = {}
        """By step and service."""

    async def run(self, jobs: int, work_s: float) -> dict[str, float]:
        """Go through all steps; give the rates."""
        await self._drain(draining=True)
        self._note("empty")
        async with await JobsTable.connect(self._pipeline.database.conninfo) as table:
            began_s = time.monotonic()
            await submit_portions(self._pipeline, map(a_job, range(jobs)))
            submitted_s = time.monotonic() - began_s
            await until_in_buckets(self._pipeline, "default", jobs, stall_s=STALL_S)
            queued_s = time.monotonic() - began_s
            self._note("queued")
            await until(lambda: table.count_all(NOOP), jobs, "jobs have rows", stall_s=STALL_S)
            self._note("materialized")
            for spec in SERVICES:
                await self._restart(f"{spec.name}-0")
            self._note("restarted")
            await self._drain(draining=False)
            before = await until(lambda: table.count_ended(NOOP), 1, "jobs have ended", stall_s=STALL_S)
            work_began_s = time.monotonic()
            await asyncio.sleep(work_s)
            ended = await table.count_ended(NOOP) - before
            worked_s = time.monotonic() - work_began_s
            self._note("working")
        return {
            "jobs": jobs,
            "submitted_per_s": round(jobs / submitted_s, 1),
            "queued_per_s": round(jobs / queued_s, 1),
            "ended_per_s": round(ended / worked_s, 1),
        }

    def _units(self) -> dict[int, str]:
        state = read_state(self._home.state_file)
        names = {f"{spec.name}-0" for spec in SERVICES}
        return {} if state is None else {p: name for p, name in cpu.units_of(state).items() if name in names}

    def _note(self, step: str) -> None:
        self.resident_mb[step] = resident_mb(self._units())
        sys.stderr.write(f"{step}: {self.resident_mb[step]}\n")

    async def _drain(self, *, draining: bool) -> None:
        record = encode(DrainRecord(EXECUTOR, draining=draining, by="benchmark"))
        key = f"drain/{EXECUTOR}".encode()
        async with appending(self._pipeline.kafka, client_id="benchmark") as appender:
            await appender.append([NewRecord(self._routes.control, 0, key, record)])

    async def _restart(self, instance: str) -> None:
        """Stop one service; its supervisor starts it again."""
        before = {name: pid for pid, name in self._units().items()}[instance]
        os.kill(before, signal.SIGTERM)
        deadline_s = time.monotonic() + STALL_S
        while instance not in (now := self._names()) or now[instance] == before:
            if time.monotonic() > deadline_s:
                raise BenchmarkError(f"{instance} was stopped and did not come back")
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLE_S)

    def _names(self) -> Mapping[str, int]:
        return {name: pid for pid, name in self._units().items()}


async def measure(jobs: int, work_s: float) -> dict[str, object]:
    """Bring up a pipeline of its own and measure."""
    with data_directory("backlog") as data:
        async with running(data) as pipeline:
            backlog = Backlog(pipeline, Home(data))
            rates = await backlog.run(jobs, work_s)
            return {**rates, "resident_mb": backlog.resident_mb}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backlog", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--work-s", type=float, default=30.0)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.jobs, options.work_s)), indent=1))


if __name__ == "__main__":
    main()
