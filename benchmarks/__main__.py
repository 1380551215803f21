"""``python -m benchmarks``: measure, show, and write the results to a file."""

import asyncio
import sys
import time

from rich.console import Console

from benchmarks.options import parse
from benchmarks.pages import html_page, on_terminal
from benchmarks.pipeline import BenchmarkError
from benchmarks.plots import draw
from benchmarks.report import heading, tables
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
    console.print(heading(results.machine))
    for titled in tables(results):
        console.print()
        console.print(on_terminal(titled))
    file, page = options.json_file, options.json_file.with_suffix(".html")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(write_json(results))
    said = heading(results.machine)
    page.write_text(html_page("What a job costs", said, draw(results), tables(results)), encoding="utf-8")
    console.print(f"\nwritten to {file} and {page}, {time.monotonic() - began_s:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
