"""``python -m benchmarks``: measure, show, and write the results to a file."""

import asyncio
import sys
import time

from rich.console import Console

from benchmarks.options import parse
from benchmarks.pipeline import BenchmarkError
from benchmarks.report import tables
from benchmarks.results import write_json
from benchmarks.run import run


def main(arguments: list[str]) -> int:
    """Give the exit code: 1 when something could not be measured."""
    options = parse(arguments)
    console, progress = Console(width=100, highlight=False), Console(stderr=True, highlight=False)
    began_s = time.monotonic()

    def say(what: str) -> None:
        progress.print(f"[dim]{time.monotonic() - began_s:5.1f} s  {what}[/]")

    try:
        results = asyncio.run(run(options, say))
    except BenchmarkError as error:
        progress.print(str(error), style="red", markup=False)
        return 1
    for table in tables(results):
        console.print()
        console.print(table)
    options.json_file.parent.mkdir(parents=True, exist_ok=True)
    options.json_file.write_bytes(write_json(results))
    console.print(f"\nwritten to {options.json_file}, {time.monotonic() - began_s:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
