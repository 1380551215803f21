"""``python -m benchmarks.retry``: judge retry policies on recorded failures, and write what was found."""

import hashlib
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from adapters.recordings.jobs import RecordedJobs
from benchmarks.judging import BUILD, GENERATED_DAYS, GENERATED_JOBS, SEED, Asked, Command, Say
from benchmarks.learning import traces
from benchmarks.learning.generator import made_up
from benchmarks.learning.results import Bar
from benchmarks.machine import ROOT, commit
from benchmarks.retry import generator, page, plots, stopping, timing
from benchmarks.retry.attempts import Retries, attempts_in, retries_of
from benchmarks.retry.results import Results, Stopping, Timing, as_json
from benchmarks.retry.stopping import Stretch
from benchmarks.retry.timing import Days

ATTEMPTS = "google2011_task_attempts_failing.csv.xz"
ROUNDS = 200
"""Of the bootstrap."""
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


class Data(NamedTuple):
    """What is judged on."""

    jobs: RecordedJobs
    retries: Retries
    words: str


def data_of(folder: Path | None, generated_jobs: int, kept: Path) -> Data:
    """Read recordings, or make jobs up."""
    if folder is None:
        jobs = made_up(generated_jobs, GENERATED_DAYS, SEED)
        attempts = generator.made_up(max(20, generated_jobs // 400), TEST.end_ms, SEED)
        return Data(jobs, retries_of(attempts), f"{len(jobs)} made-up jobs (seed {SEED})")
    jobs = traces.decoded_once(folder / traces.GOOGLE, kept)
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


def judge(asked: Asked, *, generated_jobs: int, rounds: int, kept: Path) -> Results:
    """Judge recordings, or made-up jobs when there is no folder of them."""
    data = data_of(asked.folder, generated_jobs, kept)
    return results_of(data, final=asked.is_final, rounds=rounds, say=asked.say)


def main(
    words: list[str],
    *,
    generated_jobs: int = GENERATED_JOBS,
    rounds: int = ROUNDS,
    build: Path = BUILD,
    log: Path = ROOT / "docs" / "retries_log.jsonl",
) -> int:
    """Give the exit code: 0 when everything was judged, whether or not a bar is met."""
    return Command(
        module="benchmarks.retry",
        about=__doc__ or "",
        name="retry",
        held_out="what was held out",
        log=log,
        judge=partial(judge, generated_jobs=generated_jobs, rounds=rounds, kept=build / "learning"),
        judged=lambda results: [results.stopping.judged, results.timing.judged],
        as_json=as_json,
        as_html=page.as_html,
        as_markdown=page.as_markdown,
        tables=page.tables,
        draw=plots.draw,
        build=build,
    ).run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
