"""The command that judges what is learned on recordings: its options, its progress, and where results go."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from rich.console import Console

from benchmarks.learning import plots, traces
from benchmarks.learning import results as learning
from benchmarks.machine import ROOT
from benchmarks.pages import Titled, on_terminal
from benchmarks.retry import results as retry

BUILD = ROOT / "build"
SEED = 1
GENERATED_JOBS, GENERATED_DAYS = 60_000, 21.0
Say = Callable[[str], None]


Results = TypeVar("Results", learning.Results, retry.Results)


class Asked(NamedTuple):
    """What a protocol is run on."""

    folder: Path | None
    """Of recordings; None: made-up jobs."""
    is_final: bool
    """Whether what is held out is judged."""
    say: Say


@dataclass(frozen=True)
class Command(Generic[Results]):
    """One of the commands.

    Attributes
    ----------
    name
        Of the files in ``build``.
    held_out
        What ``--final`` judges, in words.
    log
        Every look at what is held out; committed, so that how often it was read can be seen.
    judge
        Runs the protocol.
    judged
        Says which stretches were judged.
    draw
        Gives plots by name, PNG.
    build
        Takes the results.
    """

    module: str
    about: str
    name: str
    held_out: str
    log: Path
    judge: Callable[[Asked], Results]
    judged: Callable[[Results], str | Sequence[str]]
    as_json: Callable[[Results], bytes]
    as_html: Callable[[Results, Mapping[str, bytes]], str]
    as_markdown: Callable[[Results], str]
    tables: Callable[[Results], Iterable[Titled]]
    draw: Callable[[Results], dict[str, bytes]]
    build: Path = BUILD

    def run(self, words: list[str]) -> int:
        """Give the exit code: 0 when everything was judged, whether or not a bar is met."""
        given = self._arguments(words)
        progress = Console(stderr=True, highlight=False)
        began_s = time.monotonic()

        def say(what: str) -> None:
            progress.print(f"[dim]{time.monotonic() - began_s:6.1f} s  {what}[/]")

        try:
            folder = None if given.generated else traces.find(given.traces)
        except FileNotFoundError as error:
            progress.print(str(error), style="red", markup=False)
            return 2
        if folder is None and not given.generated:
            progress.print(
                "No recordings found: judging made-up jobs. TRACES=DIR names the folder of recordings."
            )
        results = self.judge(Asked(folder, given.final, say))
        self._write(results, given.document, say)
        if given.final and folder is not None:
            self._log(results)
        if given.json:
            sys.stdout.write(self.as_json(results).decode() + "\n")
        else:
            _show(self.tables(results))
        return 0

    def _arguments(self, words: list[str]) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}", description=self.about)
        parser.add_argument(
            "--traces", default=os.environ.get("TRACES"), metavar="DIR", help="folder of recordings"
        )
        parser.add_argument("--final", action="store_true", help=f"judge {self.held_out}, and log it")
        parser.add_argument("--generated", action="store_true", help="judge made-up jobs, without recordings")
        parser.add_argument(
            "--json", action="store_true", help="write the results to standard output as JSON"
        )
        parser.add_argument(
            "--document", type=Path, metavar="DIR", help="write plots and tables for a document"
        )
        return parser.parse_args(words)

    def _write(self, results: Results, document: Path | None, say: Say) -> None:
        drawn = self.draw(results)
        self.build.mkdir(exist_ok=True)
        (self.build / f"{self.name}.json").write_bytes(self.as_json(results))
        (self.build / f"{self.name}.html").write_text(self.as_html(results, drawn), encoding="utf-8")
        (self.build / f"{self.name}.md").write_text(self.as_markdown(results), encoding="utf-8")
        if document is not None:
            plots.write(drawn, document)
        say(f"written to build/{self.name}.json and build/{self.name}.html")

    def _log(self, results: Results) -> None:
        line: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "judged": self.judged(results),
            "commit": results.commit,
            "data": results.data_hash,
            "model": results.model_hash,
            "seed": results.seed,
            "bars": {bar.metric: round(bar.value, 5) for bar in results.bars},
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _show(tables: Iterable[Titled]) -> None:
    console = Console(width=130, highlight=False)
    for titled in tables:
        console.print(on_terminal(titled))
        console.print()
