"""``python -m benchmarks.peers``: compare, show, and write the results to a file."""

import asyncio
import sys
import time

from rich.console import Console

from benchmarks.peers.options import parse
from benchmarks.peers.report import tables
from benchmarks.peers.results import write_json
from benchmarks.peers.run import NAMES, compare


def main(arguments: list[str]) -> int:
    """Give the exit code: 1 when a run was invalid or nothing was measured; skipped peers are no failure."""
    options = parse(arguments, NAMES)
    console, progress = Console(width=120, highlight=False), Console(stderr=True, highlight=False)
    began_s = time.monotonic()

    def say(what: str) -> None:
        progress.print(f"{time.monotonic() - began_s:6.1f} s  {what}", markup=False, soft_wrap=True)

    comparison = asyncio.run(compare(options, say))
    for table in tables(comparison):
        console.print()
        console.print(table)
    options.json_file.parent.mkdir(parents=True, exist_ok=True)
    options.json_file.write_bytes(write_json(comparison))
    console.print(f"\nwritten to {options.json_file}, {time.monotonic() - began_s:.0f} s in all")
    return 1 if not comparison.runs or any(run.invalid for run in comparison.runs) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
