"""Where one service spends its time under load: ``python -m benchmarks.profile SERVICE [--jobs N]``.

cProfile makes every call dearer, small functions most: read the shares, not the seconds.
"""

import argparse
import asyncio
import pstats
import sys
from pathlib import Path

from benchmarks.machine import BENCH, data_directory
from benchmarks.pipeline import running
from benchmarks.throughput import measure_throughput
from core.services import SERVICES

TOP = 30


def main(arguments: list[str]) -> int:
    """Run a backlog through a pipeline with one profiled service; print its dearest functions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("service", choices=[spec.name for spec in SERVICES])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--top", type=int, default=TOP)
    chosen = parser.parse_args(arguments)
    file = BENCH / f"{chosen.service}.prof"
    with data_directory("profile") as data:
        asyncio.run(_load(data, chosen.service, file, chosen.jobs))
    statistics = pstats.Stats(str(file)).strip_dirs()
    statistics.sort_stats("tottime").print_stats(chosen.top)
    statistics.sort_stats("cumulative").print_stats(chosen.top)
    print(f"the whole profile: {file}")
    return 0


async def _load(data: Path, service: str, file: Path, jobs: int) -> None:
    async with running(data, (service, file)) as pipeline:
        found = await measure_throughput(pipeline, jobs)
    print(f"{found.jobs_per_s:.0f} jobs/s with {service} profiled")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
