"""``python -m benchmarks.learning``: judge what is learned on recorded jobs, and write what was found."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from adapters.learned.training import Recipe
from adapters.recordings.columns import GOOGLE_LIMIT_MS
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.replay import training_rows
from benchmarks.judging import BUILD, GENERATED_DAYS, GENERATED_JOBS, SEED, Asked, Command, Say
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

RECIPE = Recipe(limit_ms=GOOGLE_LIMIT_MS, seed=SEED)
PLAN = Plan(begin=9, cut=14, event=15, until=17)
"""Of what is done to jobs; the days that are held out are no part of it."""
COLD_JOBS = 20_000
"""So many first jobs are served without history."""


def split_of(jobs: RecordedJobs, trace: str, *, final: bool) -> Split:
    """Give the days that are judged: 14 to 16 to choose by, or 17 to 20, which nothing was chosen by."""
    begin, cut, until = (0.5, 17, 21) if final else (0.5, 14, 17)
    return Split(jobs.day(begin), jobs.day(cut), jobs.day(until), f"days {cut}-{until - 1}", trace)


class Run(NamedTuple):
    """One run of the protocol."""

    recipe: Recipe
    kept: Path
    say: Say

    def results(self, jobs: RecordedJobs, split: Split, words: str, sdsc: RecordedJobs | None) -> Results:
        """Judge everything."""
        began_s = time.process_time()
        vectors = replayed_once(jobs, self.kept, self.say)
        spent_s = time.process_time() - began_s
        recipe = replace(self.recipe, limit_ms=jobs.limit_ms)
        made = trained(training_rows(jobs, vectors), split, recipe, self.say)
        found = judged(jobs, vectors, made, split, self.say)
        sdsc_found: QueueTable | None = None
        if sdsc is not None:
            sdsc_recipe = replace(self.recipe, limit_ms=sdsc.limit_ms)
            replayed = replayed_once(sdsc, self.kept, self.say)
            sdsc_found = sdsc_table(sdsc, replayed, sdsc_recipe, self.say)
        shocks = list(self.shocks(jobs, vectors, recipe))
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

    def shocks(self, jobs: RecordedJobs, vectors: Vectors, recipe: Recipe) -> Iterator[ShockTable]:
        """Judge what is new: a system without history, types, run times."""
        yield cold_start(jobs, vectors, COLD_JOBS)
        inside = (jobs.submitted_ms >= jobs.day(PLAN.begin)) & (jobs.submitted_ms < jobs.day(PLAN.until))
        window, at_ms = chosen(jobs, inside), jobs.day(PLAN.event)
        types = drawn_types(window, SHARE_OF_TYPES, SEED)
        for shock in (new_types(window, types, at_ms), changed_run_times(window, types, at_ms)):
            yield struck(shock, replayed_once(shock.jobs, self.kept, self.say), PLAN, recipe, self.say)


def judge(asked: Asked, *, generated_jobs: int, recipe: Recipe, kept: Path) -> Results:
    """Judge recordings, or made-up jobs when there is no folder of them."""
    if asked.folder is None:
        jobs, sdsc = made_up(generated_jobs, GENERATED_DAYS, SEED), None
        trace, words = "made up", f"{len(jobs)} made-up jobs (seed {SEED})"
    else:
        jobs = traces.decoded_once(asked.folder / traces.GOOGLE, kept)
        log = asked.folder / traces.SDSC
        sdsc = traces.decoded_once(log, kept) if log.exists() else None
        trace, words = "Google 2011", f"{len(jobs)} jobs of the Google cluster trace of 2011"
    split = split_of(jobs, trace, final=asked.is_final)
    return Run(recipe, kept, asked.say).results(jobs, split, words, sdsc)


def main(
    words: list[str],
    *,
    generated_jobs: int = GENERATED_JOBS,
    recipe: Recipe = RECIPE,
    build: Path = BUILD,
) -> int:
    """Give the exit code: 0 when everything was judged, whether or not a bar is met."""
    return Command(
        module="benchmarks.learning",
        about=__doc__ or "",
        name="learning",
        held_out="the held-out days 17-20",
        log=ROOT / "docs" / "learning_log.jsonl",
        judge=partial(judge, generated_jobs=generated_jobs, recipe=recipe, kept=build / "learning"),
        judged=lambda results: results.judged,
        as_json=as_json,
        as_html=page.as_html,
        as_markdown=page.as_markdown,
        tables=page.tables,
        draw=plots.draw,
        build=build,
    ).run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
