"""Workflows: ``python -m benchmarks.workflows layers|latency|fan``; a pipeline of its own for each run.

``layers``: a workflow in layers runs while the scheduler is killed (SIGKILL) every few seconds of being
ready; it is checked that each job ran once, and none before its parents had succeeded.
``latency``: from the success of a parent to its child being ready.
``fan``: one parent, many children, one child of them all (a group).
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import time
from http import HTTPStatus
from typing import Any
from urllib.request import urlopen

import psycopg
from psycopg.rows import dict_row

from adapters.embedded.home import Home
from adapters.embedded.state import read_state
from benchmarks import cpu
from benchmarks.machine import data_directory
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.tasks import NOOP
from penstock.client import Client, Workflow

POLL_S = 0.2
END_TIMEOUT_S = 900.0
PARENTS_MAX = 3

_EARLY = """
SELECT count(*) AS early FROM jobs c
CROSS JOIN LATERAL jsonb_array_elements_text(c.depends_on) listed
JOIN jobs p ON p.job_id = listed.value::uuid
JOIN job_attempts a ON a.job_id = c.job_id
WHERE c.workflow_id = %(id)s AND (p.finished_at IS NULL OR a.claimed_at < p.finished_at)
"""
_RUNS = """
SELECT count(*) AS runs FROM job_attempts a JOIN jobs j USING (job_id)
WHERE j.workflow_id = %(id)s AND a.outcome IN ('succeeded', 'failed', 'lost')
"""
_LATENCIES = """
SELECT extract(epoch FROM c.ready_at - max(p.finished_at)) * 1000 AS ms FROM jobs c
CROSS JOIN LATERAL jsonb_array_elements_text(c.depends_on) listed
JOIN jobs p ON p.job_id = listed.value::uuid
WHERE c.workflow_id LIKE 'latency-%%' GROUP BY c.job_id, c.ready_at
"""


def layered(workflow_id: str, jobs: int, layers: int, draw: random.Random) -> Workflow:
    """Make a workflow of jobs that do nothing, each after up to three of the layer above."""
    flow, width = Workflow(workflow_id), jobs // layers
    for layer in range(layers):
        for number in range(width):
            step = flow.add(NOOP, name=f"{layer}-{number}")
            if layer:
                above = draw.sample(range(width), min(width, draw.randint(1, PARENTS_MAX)))
                step.after(*(f"{layer - 1}-{one}" for one in above))
    return flow


class Killer:
    """Kills the scheduler whenever it was ready for a few seconds; the supervisor starts it again."""

    def __init__(self, pipeline: Pipeline, home: Home, every_s: float) -> None:
        self._ready_url = f"http://127.0.0.1:{pipeline.metrics['scheduler-0']}/readyz"
        self._home = home
        self._every_s = every_s
        self.kills = 0

    async def run(self) -> None:
        """Kill for ever."""
        while True:
            if not await asyncio.to_thread(self._is_ready):
                await asyncio.sleep(POLL_S)
                continue
            await asyncio.sleep(self._every_s)
            state = read_state(self._home.state_file)
            units = cpu.units_of(state) if state is not None else {}
            for pid in [pid for pid, name in units.items() if name.startswith("scheduler")]:
                os.kill(pid, signal.SIGKILL)
                self.kills += 1

    def _is_ready(self) -> bool:
        try:
            with urlopen(self._ready_url, timeout=1) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False


async def ended(pipeline: Pipeline, workflow_id: str, jobs: int) -> dict[str, Any]:
    """Wait for the end of a workflow and give its row."""
    until_s = time.monotonic() + END_TIMEOUT_S
    while True:
        row = await _one(pipeline, "SELECT * FROM v1_workflows WHERE workflow_id = %(id)s", workflow_id)
        if row is not None and row["state"] != "running" and row["jobs"] == jobs:
            return row
        if time.monotonic() > until_s:
            raise BenchmarkError(f"the workflow did not end: {row}")
        await asyncio.sleep(POLL_S)


async def _one(pipeline: Pipeline, query: str, workflow_id: str) -> dict[str, Any] | None:
    connection = await psycopg.AsyncConnection[dict[str, Any]].connect(
        pipeline.database.conninfo, row_factory=dict_row
    )
    async with connection:
        return await (await connection.execute(query.encode(), {"id": workflow_id})).fetchone()


async def layers(pipeline: Pipeline, home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Run a workflow in layers under kills, and check it."""
    flow = layered("layers", options.jobs, options.layers, random.Random(options.seed))
    killer = Killer(pipeline, home, options.kill_every)
    began_s = time.monotonic()
    async with Client(kafka=pipeline.kafka, names=pipeline.names) as client:
        # In any order: children before their parents.
        await client.submit_many(random.Random(options.seed).sample(flow.jobs(), len(flow)))
    killing = asyncio.create_task(killer.run())
    try:
        row = await ended(pipeline, "layers", len(flow))
    finally:
        killing.cancel()
    early = await _one(pipeline, _EARLY, "layers")
    runs = await _one(pipeline, _RUNS, "layers")
    assert early is not None
    assert runs is not None
    found = {
        "jobs": len(flow),
        "layers": options.layers,
        "kills": killer.kills,
        "state": row["state"],
        "succeeded": row["succeeded"],
        "started_before_a_parent_had_succeeded": early["early"],
        "runs": runs["runs"],
        "took_s": round(time.monotonic() - began_s, 1),
    }
    if row["succeeded"] != len(flow) or early["early"] or runs["runs"] != len(flow):
        raise BenchmarkError(f"the workflow did not run as it must: {found}")
    return found


async def latency(pipeline: Pipeline, _home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Submit pairs of jobs at a rate, and measure from the parent's success to the child's being ready."""
    async with Client(kafka=pipeline.kafka, names=pipeline.names) as client:
        for number in range(options.jobs // 2):
            flow = Workflow(f"latency-{number}")
            flow.add(NOOP, name="child").after(flow.add(NOOP, name="parent"))
            await client.submit_workflow(flow)
            await asyncio.sleep(2 / options.rate)
    await ended(pipeline, f"latency-{options.jobs // 2 - 1}", 2)
    connection = await psycopg.AsyncConnection.connect(pipeline.database.conninfo)
    async with connection:
        rows = await (await connection.execute(_LATENCIES)).fetchall()
    times_ms = sorted(float(ms) for (ms,) in rows if ms is not None)
    cuts = statistics.quantiles(times_ms, n=100)
    shown = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": times_ms[-1]}
    return {
        "pairs": len(times_ms),
        "jobs_per_s": options.rate,
        "release_ms": {name: round(value, 1) for name, value in shown.items()},
    }


async def fan(pipeline: Pipeline, _home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Run one parent, its children, and one child of these through a group."""
    flow = Workflow("fan")
    first = flow.add(NOOP, name="first")
    for number in range(options.jobs):
        flow.add(NOOP, name=f"part-{number}", group="parts").after(first)
    flow.add(NOOP, name="last").after_group("parts")
    began_s = time.monotonic()
    async with Client(kafka=pipeline.kafka, names=pipeline.names) as client:
        await client.submit_workflow(flow)
    row = await ended(pipeline, "fan", len(flow))
    took_s = time.monotonic() - began_s
    return {
        "children": options.jobs,
        "state": row["state"],
        "took_s": round(took_s, 1),
        "jobs_per_s": round(len(flow) / took_s, 1),
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Bring up a pipeline of its own and measure."""
    work = {"layers": layers, "latency": latency, "fan": fan}[options.what]
    with data_directory("workflows") as data:
        async with running(data) as pipeline:
            return await work(pipeline, Home(data), options)


def main() -> None:
    """Print one JSON object; exit code 1 when a workflow did not run as it must."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workflows", description=__doc__)
    parser.add_argument("what", choices=["layers", "latency", "fan"])
    parser.add_argument("--jobs", type=int, default=1000, metavar="N")
    parser.add_argument("--layers", type=int, default=20, metavar="N")
    parser.add_argument("--kill-every", type=float, default=5.0, metavar="S")
    parser.add_argument("--rate", type=float, default=50.0, metavar="JOBS_PER_S")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    try:
        print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))
    except BenchmarkError as error:
        sys.exit(f"benchmarks.workflows: {error}")


if __name__ == "__main__":
    main()
