"""What executors of other pools cost: they read every event of their partitions, and run none of it.

``python -m benchmarks.pools [--pools 1,2,4] [--jobs N] [--rounds N]`` prints one JSON object a number of
pools: all jobs are of the pool ``default``, and each further pool has one executor.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.executors import Executors
from benchmarks.machine import data_directory
from benchmarks.pipeline import running
from benchmarks.throughput import measure_throughput, middle, warm_up

SETTLE_S = 10.0
"""Until executors of the other pools have joined and read their ledgers to the end."""
OTHER = "executor of pool "


def names_of(pools: int) -> tuple[str, ...]:
    """Name the pools beside the default one."""
    return tuple(f"other{number}" for number in range(1, pools))


async def measure(data: Path, pools: int, jobs: int, rounds: int) -> dict[str, object]:
    """Measure one number of pools on a pipeline of its own."""
    others = names_of(pools)
    settings = {"PENSTOCK_POOLS": ",".join(("default", *others))}
    async with running(data, settings=settings) as pipeline:
        executors = Executors(pipeline, data, settings)
        try:
            ours = {(await executors.start(PENSTOCK_POOL=pool)).pid: f"{OTHER}{pool}" for pool in others}
            both = replace(pipeline, units={**pipeline.units, **ours})
            await asyncio.sleep(SETTLE_S)
            await warm_up(both)
            found = middle(tuple([await measure_throughput(both, jobs) for _ in range(rounds)]))
        finally:
            await executors.stop_all()
    used = found.cpu_us_per_job
    return {
        "pools": pools,
        "jobs": jobs,
        "jobs_per_s": found.jobs_per_s,
        "cpu_us_per_job": used,
        "cpu_us_per_job_of_all": round(sum(used.values()), 1),
        "cpu_us_per_job_and_other_pool": [us for name, us in used.items() if name.startswith(OTHER)],
    }


def run(options: argparse.Namespace) -> None:
    """Measure every number of pools."""
    for pools in options.pools:
        with data_directory("pools") as data:
            line = asyncio.run(measure(data, pools, options.jobs, options.rounds))
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=lambda text: tuple(map(int, text.split(","))), default=(1, 2, 4))
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
