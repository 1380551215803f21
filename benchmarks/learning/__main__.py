"""``python -m benchmarks.learning``: judge what is learned on recorded jobs, and write what was found."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adapters.learned.training import Recipe
from adapters.recordings.columns import GOOGLE_LIMIT_MS
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.replay import training_rows
from benchmarks.learning import page, plots, traces
from benchmarks.learning.generator import made_up
from benchmarks.learning.protocol import Split, bars, judged, sdsc_table, trained
from benchmarks.learning.replay import replayed_once
from benchmarks.learning.results import QueueTable, Results, ShockTable, as_json
from benchmarks.learning.shock_tables import cold_start, shock_bars, struck
from benchmarks.learning.shocks import (
    SHARE_OF_TYPES,
    Plan,
    changed_run_times,
    chosen,
    drawn_types,
    new_types,
)
from benchmarks.machine import ROOT, commit
from ports.models import Vectors

BUILD = ROOT / "build"
KEPT = BUILD / "learning"
LOG = ROOT / "docs" / "learning_log.jsonl"
"""Every look at the held-out days; committed, so that how often they were read can be seen."""
SEED = 1
RECIPE = Recipe(limit_ms=GOOGLE_LIMIT_MS, seed=SEED)
GENERATED_JOBS, GENERATED_DAYS = 60_000, 21.0
PLAN = Plan(begin=9, cut=14, event=15, until=17)
"""Of what is done to jobs; the days that are held out are no part of it."""
COLD_JOBS = 20_000
"""So many first jobs are served without history."""
Say = Callable[[str], None]


def arguments_of(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument(
        "--traces", default=os.environ.get("TRACES"), metavar="DIR", help="folder of recordings"
    )
    parser.add_argument("--final", action="store_true", help="judge the held-out days 17-20, and log it")
    parser.add_argument("--generated", action="store_true", help="judge made-up jobs, without recordings")
    parser.add_argument("--json", action="store_true", help="write the results to standard output as JSON")
    parser.add_argument("--document", type=Path, metavar="DIR", help="write plots and tables for a document")
    return parser.parse_args(words)


def split_of(jobs: RecordedJobs, trace: str, *, final: bool) -> Split:
    """Give the days that are judged: 14 to 16 to choose by, or 17 to 20, which nothing was chosen by."""
    begin, cut, until = (0.5, 17, 21) if final else (0.5, 14, 17)
    return Split(jobs.day(begin), jobs.day(cut), jobs.day(until), f"days {cut}-{until - 1}", trace)


def results_of(jobs: RecordedJobs, split: Split, words: str, say: Say, sdsc: RecordedJobs | None) -> Results:
    """Run the protocol."""
    began_s = time.process_time()
    vectors = replayed_once(jobs, KEPT, say)
    spent_s = time.process_time() - began_s
    recipe = replace(RECIPE, limit_ms=jobs.limit_ms)
    made = trained(training_rows(jobs, vectors), split, recipe, say)
    found = judged(jobs, vectors, made, split, say)
    sdsc_found: QueueTable | None = None
    if sdsc is not None:
        sdsc_recipe = replace(RECIPE, limit_ms=sdsc.limit_ms)
        sdsc_found = sdsc_table(sdsc, replayed_once(sdsc, KEPT, say), sdsc_recipe, say)
    shocks = list(shocks_of(jobs, vectors, recipe, say))
    return Results(
        data=words,
        data_hash=traces.hash_of(jobs),
        commit=commit(),
        model_hash=made.sha256,
        seed=SEED,
        judged=split.words,
        jobs_trained=made.rows,
        jobs_judged=found.jobs,
        us_a_job=spent_s / len(jobs) * 1e6,
        slice_jobs=found.slice_jobs,
        slice_failures=found.slice_failures,
        failure=found.failure,
        run=found.run,
        queues=found.queues + ([sdsc_found] if sdsc_found else []),
        by_day=found.by_day,
        curves=found.curves,
        worst=found.worst,
        bars=[*bars(found, sdsc_found), *shock_bars(shocks)],
        shocks=shocks,
    )


def shocks_of(jobs: RecordedJobs, vectors: Vectors, recipe: Recipe, say: Say) -> Iterator[ShockTable]:
    """Judge what is new: a system without history, types, run times."""
    yield cold_start(jobs, vectors, COLD_JOBS)
    inside = (jobs.submitted_ms >= jobs.day(PLAN.begin)) & (jobs.submitted_ms < jobs.day(PLAN.until))
    window, at_ms = chosen(jobs, inside), jobs.day(PLAN.event)
    types = drawn_types(window, SHARE_OF_TYPES, SEED)
    for shock in (new_types(window, types, at_ms), changed_run_times(window, types, at_ms)):
        yield struck(shock, replayed_once(shock.jobs, KEPT, say), PLAN, recipe, say)


def main(words: list[str]) -> int:
    """Give the exit code: 0 when everything was judged, whether or not a bar is met."""
    given = arguments_of(words)
    progress = Console(stderr=True, highlight=False)
    began_s = time.monotonic()

    def say(what: str) -> None:
        progress.print(f"[dim]{time.monotonic() - began_s:6.1f} s  {what}[/]")

    try:
        folder = None if given.generated else traces.find(given.traces)
    except FileNotFoundError as error:
        progress.print(str(error), style="red", markup=False)
        return 2
    if folder is None:
        if not given.generated:
            progress.print(
                "No recordings found: judging made-up jobs. TRACES=DIR names the folder of recordings."
            )
        jobs, sdsc = made_up(GENERATED_JOBS, GENERATED_DAYS, SEED), None
        words_of_data = f"{len(jobs)} made-up jobs (seed {SEED})"
    else:
        jobs = traces.decoded_once(folder / traces.GOOGLE, KEPT)
        log = folder / traces.SDSC
        sdsc = traces.decoded_once(log, KEPT) if log.exists() else None
        words_of_data = f"{len(jobs)} jobs of the Google cluster trace of 2011"
    trace = "made up" if folder is None else "Google 2011"
    split = split_of(jobs, trace, final=given.final)
    results = results_of(jobs, split, words_of_data, say, sdsc)
    _write(results, given.document, say)
    if given.final and folder is not None:
        _log(results)
    if given.json:
        sys.stdout.write(as_json(results).decode() + "\n")
    else:
        _show(results)
    return 0


def _write(results: Results, document: Path | None, say: Say) -> None:
    drawn = plots.draw(results)
    BUILD.mkdir(exist_ok=True)
    (BUILD / "learning.json").write_bytes(as_json(results))
    (BUILD / "learning.html").write_text(page.as_html(results, drawn), encoding="utf-8")
    (BUILD / "learning.md").write_text(page.as_markdown(results), encoding="utf-8")
    if document is not None:
        plots.write(drawn, document)
    say("written to build/learning.json and build/learning.html")


def _log(results: Results) -> None:
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "judged": results.judged,
        "commit": results.commit,
        "data": results.data_hash,
        "model": results.model_hash,
        "seed": results.seed,
        "bars": {bar.metric: round(bar.value, 5) for bar in results.bars},
    }
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _show(results: Results) -> None:
    console = Console(width=130, highlight=False)
    for title, rows in page.tables(results):
        table = Table(*rows[0], title=title, title_justify="left", box=None, pad_edge=False)
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
        console.print()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
