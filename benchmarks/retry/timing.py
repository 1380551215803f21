"""When to try again: every arm on every recorded episode of some days."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.learned.heads import Head
from adapters.learned.retry_training import HAZARD_ROUNDS, train_hazard
from adapters.learned.retrying import LearnedHazards
from adapters.recordings.jobs import DAY_MS, RecordedJobs
from adapters.recordings.replay import Say
from benchmarks.learning.intervals import interval
from benchmarks.learning.results import Interval
from benchmarks.retry.collect import known_at, looks_of
from benchmarks.retry.results import Timing, TimingScore
from benchmarks.retry.walks import COSTS, ArmOf, Pass, Walked
from core.retrying.arms import Backoff, Never, Oracle, Planned, Spread
from core.retrying.history import History

GLOBAL, LEARNED, ORACLE = "global survival + DP", "XGBoost hazard + DP", "oracle"
BACKOFFS = (
    Backoff("10 s x3", 10.0, 10.0, 3),
    Backoff("5 min x5", 300.0, 300.0, 5),
    Backoff("30 s full jitter, cap 1 h, x8", 30.0, 3600.0, 8, spread=Spread.FULL),
    Backoff("60 s doubling, cap 6 h, x10", 60.0, 21_600.0, 10),
)


class Days(NamedTuple):
    """What is learned from, and what is judged, as days of a recording."""

    cut: float
    until: float
    words: str


class Found(NamedTuple):
    """A judgement, and the model that was judged."""

    timing: Timing
    head: Head


def judge(jobs: RecordedJobs, days: Days, say: Say, rounds: int, seed: int) -> Found:
    """Train on what was known at a cut, and walk the episodes that began after it."""
    cut_ms, until_ms = jobs.day(days.cut), jobs.day(days.until)
    failures = known_at(looks_of(jobs, History(), cut_ms), cut_ms)
    say(f"{len(failures)} moments of failure to train on")
    head = train_hazard(failures, seed, HAZARD_ROUNDS)
    say("hazard trained")
    everything, by_type = History(is_global=True), History()
    learned = LearnedHazards(head, by_type)
    arms: dict[str, ArmOf] = {"none": lambda _: Never()}
    arms |= {backoff.name: _always(backoff) for backoff in BACKOFFS}
    arms[GLOBAL] = lambda _: Planned(GLOBAL, everything, COSTS)
    arms["history by type and tenant + DP"] = lambda _: Planned("history", by_type, COSTS)
    arms[LEARNED] = lambda _: Planned(LEARNED, learned, COSTS)
    arms[ORACLE] = lambda episode: Oracle(
        lambda _: (episode.began_ms / 1000 + episode.recovered_s) if episode.recovered_s <= 86_400 else None
    )
    walked = Pass(jobs, arms, [everything, by_type], cut_ms, until_ms).run()
    say(f"walked {len(walked[ORACLE])} episodes under {len(arms)} arms")
    return Found(_timing(jobs, walked, days, len(failures), rounds), head)


def _always(backoff: Backoff) -> ArmOf:
    return lambda _: backoff


def _timing(
    jobs: RecordedJobs, walked: dict[str, list[Walked]], days: Days, trained_on: int, rounds: int
) -> Timing:
    # All arms walk the same episodes, each in the order of its own ends.
    by_arm = {name: sorted(found, key=lambda one: one.episode.job) for name, found in walked.items()}
    episodes = [one.episode for one in by_arm[ORACLE]]
    tenants = np.array([int(episode.subject.tenant) for episode in episodes])
    gain = np.array(
        [one.cost_s - other.cost_s for one, other in zip(by_arm[GLOBAL], by_arm[LEARNED], strict=True)]
    )
    day = np.array([(episode.began_ms - jobs.began_ms) // DAY_MS for episode in episodes])
    costs = {name: np.array([one.cost_s for one in found]) for name, found in by_arm.items()}
    return Timing(
        judged=days.words,
        episodes=len(episodes),
        recoverable=sum(one.recoverable for one in by_arm[ORACLE]),
        trained_on=trained_on,
        arms={name: _score(found, tenants, rounds) for name, found in by_arm.items()},
        costs_by_day={
            f"day {one}": {name: float(of[day == one].mean()) for name, of in costs.items()}
            for one in np.unique(day)
        },
        gain_s=Interval(
            float(gain.mean()), *interval(tenants, lambda rows: float(gain[rows].mean()), rounds)
        ),
    )


def _score(walked: Sequence[Walked], tenants: NDArray[np.int64], rounds: int) -> TimingScore:
    costs = np.array([one.cost_s for one in walked])
    recovered = sum(one.recovered for one in walked)
    tries = sum(one.tries for one in walked)
    late_s = [one.delay_s for one in walked if one.recovered]
    return TimingScore(
        cost_s=Interval(
            float(costs.mean()), *interval(tenants, lambda rows: float(costs[rows].mean()), rounds)
        ),
        recovered=recovered / max(1, sum(one.recoverable for one in walked)),
        tries=tries / max(1, len(walked)),
        wasted_a_recovery=(tries - recovered) / recovered if recovered else None,
        delay_s=float(np.mean(late_s)) if late_s else None,
    )
