"""The command that judges what is learned on recordings: its options, its progress, and where results go."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Judged:
    """What was found, ready to be shown.

    Attributes
    ----------
    judged
        Which stretches, in words.
    drawn
        Plots by name, PNG.
    """

    results: learning.Results | retry.Results
    judged: str | Sequence[str]
    json: bytes
    html: str
    markdown: str
    tables: Sequence[Titled]
    drawn: dict[str, bytes]


@dataclass(frozen=True)
class Command:
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
        Runs the protocol on a folder of recordings, or on made-up jobs without one.
    build
        Takes the results.
    """

    module: str
    about: str
    name: str
    held_out: str
    log: Path
    judge: Callable[[Path | None, bool, Say], Judged]
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
        found = self.judge(folder, given.final, say)
        self._write(found, given.document, say)
        if given.final and folder is not None:
            self._log(found)
        if given.json:
            sys.stdout.write(found.json.decode() + "\n")
        else:
            _show(found.tables)
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

    def _write(self, found: Judged, document: Path | None, say: Say) -> None:
        self.build.mkdir(exist_ok=True)
        (self.build / f"{self.name}.json").write_bytes(found.json)
        (self.build / f"{self.name}.html").write_text(found.html, encoding="utf-8")
        (self.build / f"{self.name}.md").write_text(found.markdown, encoding="utf-8")
        if document is not None:
            plots.write(found.drawn, document)
        say(f"written to build/{self.name}.json and build/{self.name}.html")

    def _log(self, found: Judged) -> None:
        line: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "judged": found.judged,
            "commit": found.results.commit,
            "data": found.results.data_hash,
            "model": found.results.model_hash,
            "seed": found.results.seed,
            "bars": {bar.metric: round(bar.value, 5) for bar in found.results.bars},
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _show(tables: Sequence[Titled]) -> None:
    console = Console(width=130, highlight=False)
    for titled in tables:
        console.print(on_terminal(titled))
        console.print()
