"""``python -m benchmarks.retry``: judge retry policies on recorded failures, and write what was found."""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from adapters.recordings.jobs import RecordedJobs
from benchmarks.learning import plots as drawing
from benchmarks.learning import traces
from benchmarks.learning.generator import made_up
from benchmarks.learning.results import Bar
from benchmarks.machine import ROOT, commit
from benchmarks.retry import generator, page, plots, stopping, timing
from benchmarks.retry.attempts import Retries, attempts_in, retries_of
from benchmarks.retry.results import Results, Stopping, Timing, as_json
from benchmarks.retry.stopping import Stretch
from benchmarks.retry.timing import Days

BUILD = ROOT / "build"
KEPT = BUILD / "learning"
LOG = ROOT / "docs" / "retries_log.jsonl"
"""Every look at the held-out days; committed, so that how often they were read can be seen."""
ATTEMPTS = "google2011_task_attempts_failing.csv.xz"
SEED = 1
ROUNDS = 200
"""Of the bootstrap."""
GENERATED_JOBS, GENERATED_DAYS = 60_000, 21.0
KS = 1_000_000
"""Thousands of seconds, in ms."""
CUT_MS = 38 * KS
EARLIER = [
    (14 * KS, Stretch(14 * KS, 20 * KS)),
    (20 * KS, Stretch(20 * KS, 26 * KS)),
    (26 * KS, Stretch(26 * KS, 32 * KS)),
    (32 * KS, Stretch(32 * KS, 38 * KS)),
]
"""Cuts, and the stretches after them that the ratio of costs is chosen on."""
CHOICE = Stretch(38 * KS, 46 * KS)
TEST = Stretch(46 * KS, round(70.7 * KS))
Say = Callable[[str], None]


class Data(NamedTuple):
    """What is judged on."""

    jobs: RecordedJobs
    retries: Retries
    words: str


def arguments_of(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retry", description=__doc__)
    parser.add_argument(
        "--traces", default=os.environ.get("TRACES"), metavar="DIR", help="folder of recordings"
    )
    parser.add_argument("--final", action="store_true", help="judge what was held out, and log it")
    parser.add_argument("--generated", action="store_true", help="judge made-up jobs, without recordings")
    parser.add_argument("--json", action="store_true", help="write the results to standard output as JSON")
    parser.add_argument("--document", type=Path, metavar="DIR", help="write plots and tables for a document")
    return parser.parse_args(words)


def data_of(folder: Path | None, generated_jobs: int) -> Data:
    """Read recordings, or make jobs up."""
    if folder is None:
        jobs = made_up(generated_jobs, GENERATED_DAYS, SEED)
        attempts = generator.made_up(max(20, generated_jobs // 400), TEST.end_ms, SEED)
        return Data(jobs, retries_of(attempts), f"{len(jobs)} made-up jobs (seed {SEED})")
    jobs = traces.decoded_once(folder / traces.GOOGLE, KEPT)
    retries = retries_of(attempts_in(folder / ATTEMPTS))
    return Data(
        jobs, retries, f"{len(jobs)} jobs and {len(retries)} retries of the Google cluster trace of 2011"
    )


def judged_stopping(retries: Retries, *, final: bool, rounds: int, say: Say) -> tuple[Stopping, bytes]:
    """Choose the ratio of costs on what came before, and judge it; give the model's bytes too."""
    rule = stopping.chosen(retries, [*EARLIER, (CUT_MS, CHOICE)] if final else EARLIER)
    how = "recalibrated" if rule.is_recalibrated else "as they are"
    say(f"a lost success is worth {rule.lost_s:.0f} s, probabilities {how}")
    stretch = TEST if final else CHOICE
    words = f"{stretch.begin_ms / KS:g} to {stretch.end_ms / KS:g} thousand seconds"
    said = stopping.spoken(retries, CUT_MS, stretch)
    found = stopping.judge(retries, said, rule, words, CUT_MS, rounds)
    say("stop rules judged")
    return found, said.head.ubj


def results_of(data: Data, *, final: bool, rounds: int, say: Say) -> Results:
    """Run the protocol."""
    stop, stop_model = judged_stopping(data.retries, final=final, rounds=rounds, say=say)
    days = Days(14, 21, "days 14-20") if final else Days(10, 14, "days 10-13")
    when = timing.judge(data.jobs, days, say, rounds, SEED)
    seen = hashlib.sha256(traces.hash_of(data.jobs).encode())
    seen.update(data.retries.vectors.tobytes())
    return Results(
        data=data.words,
        data_hash=seen.hexdigest(),
        commit=commit(),
        model_hash=hashlib.sha256(stop_model + when.head.ubj).hexdigest(),
        seed=SEED,
        stopping=stop,
        timing=when.timing,
        bars=bars(stop, when.timing),
    )


def bars(stop: Stopping, when: Timing) -> list[Bar]:
    """Hold what was found against what must be reached."""
    rule, cap = stop.rules["XGBoost, cost ratio"], stop.rules["cap 5"]
    learned = when.arms[timing.LEARNED]
    return [
        Bar("successes kept", rule.kept.value, ">= .99", rule.kept.value >= 0.99),
        Bar("failed machine-hours avoided", rule.hours.value, ">= .75", rule.hours.value >= 0.75),
        Bar(
            "the same, at as many successes kept as by cap 5",
            stop.hours_at_cap_5,
            f">= {cap.hours.value:.3f}",
            stop.hours_at_cap_5 >= cap.hours.value,
        ),
        Bar("cost of timing, s", learned.cost_s.value, "<= 2300", learned.cost_s.value <= 2300),
        Bar("recovered", learned.recovered, ">= .98", learned.recovered >= 0.98),
        Bar("tries an episode (moonshot)", learned.tries, "<= 4", learned.tries <= 4),
    ]


def main(words: list[str], *, generated_jobs: int = GENERATED_JOBS, rounds: int = ROUNDS) -> int:
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
    if folder is None and not given.generated:
        progress.print(
            "No recordings found: judging made-up jobs. TRACES=DIR names the folder of recordings."
        )
    results = results_of(data_of(folder, generated_jobs), final=given.final, rounds=rounds, say=say)
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
    (BUILD / "retry.json").write_bytes(as_json(results))
    (BUILD / "retry.html").write_text(page.as_html(results, drawn), encoding="utf-8")
    (BUILD / "retry.md").write_text(page.as_markdown(results), encoding="utf-8")
    if document is not None:
        drawing.write(drawn, document)
    say("written to build/retry.json and build/retry.html")


def _log(results: Results) -> None:
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "judged": [results.stopping.judged, results.timing.judged],
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
