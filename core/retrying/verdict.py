"""Whether a model of recoveries may time retries: judged on the newest failures, which it was not trained on.

It must be better than the history that it corrects, or it is not worth having; not worse than the model in
force; and in no slice worse than history. Intervals draw whole jobs: failures of one are about one recovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.retrying.bins import HORIZON_S, Floats
from core.retrying.history import Seen
from core.retrying.survival import log_surviving

CHALLENGER, CHAMPION, HISTORY = "challenger", "champion", "history"
SCORE = "log_score"
"""Mean of ``loss_of``, in nats a failure: what a manifest shows, less is better."""
LEAST_JOBS = 100
LEAST_RECOVERED = 30
"""Fewer jobs, or fewer that recovered, than this in the newest slice are no evidence."""
LEAST_OF_SLICE = 30
"""Slices of fewer jobs are not judged apart."""
SLICE_TAIL = 0.1
"""A slice is worse when nine draws of ten say so."""
TAIL = 0.025
"""Makes an interval of 95 %."""
ROUNDS = 400
"""Rounds of a bootstrap."""
LEAST_CHANCE = 1e-6
"""What was given less chance than this counts as so much: one failure costs no more than 13.8."""
MARGIN = 0.05
"""Share by which the score may be above the champion's, where the interval is too wide to tell."""

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """Failures that are judged on.

    Attributes
    ----------
    jobs
        (n_moments,) numbers from 0 without gaps; equal ones are of one job.
    recovered
        (n_moments,) whether the job was seen to recover after it.
    slices
        (n_moments,) each: failures that are judged apart, by name.
    """

    jobs: Places
    recovered: NDArray[np.bool_]
    slices: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def count(self) -> int:
        """How many jobs; what a bootstrap draws from."""
        return int(self.jobs.max(initial=-1)) + 1


@dataclass(frozen=True)
class Verdict:
    """What is to become of a challenger.

    Attributes
    ----------
    promote
        Whether it may time retries.
    words
        Why, for people.
    measures
        By model, then by measure.
    """

    promote: bool
    words: str
    measures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Drift:
    """Whether the model in force is worse than the history it corrects."""

    drifted: bool
    words: str
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Compared:
    """Mean of one loss less another, and its interval."""

    more: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """Write it for people."""
        return f"{self.more:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def loss_of(hazards: Floats, seen: Seen) -> float:
    """Give what was seen its surprise, in nats: less is better.

    It is -log of the chance that an episode that was on at ``since_s`` was still on at ``failing_s`` and had
    recovered by ``working_s``: a proper score of what tries enclose, whoever chose when to try.
    """
    ages_s = np.array([seen.since_s, seen.failing_s, seen.working_s or seen.failing_s])
    began, failing, working = log_surviving(hazards, np.minimum(ages_s, HORIZON_S))
    found = failing - began
    if seen.working_s is not None:
        # Of what was still on, the share that recovered in between; exact where the chance is tiny.
        found += float(np.log(max(-np.expm1(working - failing), LEAST_CHANCE)))
    return float(min(-found, -np.log(LEAST_CHANCE)))


def losses_of(hazards: Sequence[Floats], seen: Sequence[Seen]) -> Floats:
    """Give the surprise of each moment, (n_moments,)."""
    return np.array([loss_of(one, what) for one, what in zip(hazards, seen, strict=True)])


def says_something(seen: Seen) -> bool:
    """Tell whether anything was seen: without a later failure or a recovery all score 0."""
    return seen.working_s is not None or seen.failing_s > seen.since_s


def compared(on: Slice, more: Floats, draws: Places, tail: float = TAIL) -> Compared:
    """Give the mean of some differences with its interval, by drawing whole jobs with replacement.

    Parameters
    ----------
    more
        (n_moments,); NaN is left out.
    draws
        (n_rounds, n_jobs) of ``on.count``, the caller's dice; rounds with nothing in them are left out.
    """
    there = ~np.isnan(more)
    sums = np.bincount(on.jobs[there], more[there], on.count)
    counts = np.bincount(on.jobs[there], minlength=on.count)
    drawn = counts[draws].sum(axis=1)
    means = sums[draws].sum(axis=1)[drawn > 0] / drawn[drawn > 0]
    if not len(means):
        return Compared(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Compared(float(more[there].mean()), float(low), float(high))


def judge(on: Slice, losses: Mapping[str, Floats], draws: Places) -> Verdict:
    """Say whether a challenger may time retries.

    Parameters
    ----------
    losses
        (n_moments,) of ``CHALLENGER`` and ``HISTORY``, and of ``CHAMPION`` where there is one.
    draws
        See ``compared``.
    """
    measures = {name: _measured(on, one) for name, one in losses.items()} if len(on) else {}
    if thin := too_thin(on):
        return Verdict(promote=False, words=f"no verdict: {thin}", measures=measures)
    against = compared(on, losses[CHALLENGER] - losses[HISTORY], draws)
    problems: list[str] = []
    if not against.high < 0:
        problems.append(f"not better than history alone: log score {against.words}")
    said = [f"log score {losses[CHALLENGER].mean():.4f}, {against.words} against history"]
    if CHAMPION in losses:
        beside = compared(on, losses[CHALLENGER] - losses[CHAMPION], draws)
        said.append(f"{beside.words} against champion")
        if beside.low > 0 or beside.more > MARGIN * losses[CHAMPION].mean():
            problems.append(f"worse than the champion: log score {beside.words}")
    worst, worse = _apart(on, losses[CHALLENGER] - losses[HISTORY], draws)
    problems += [f"worse in slice {words}" for words in worse]
    verdict = (
        f"not to be promoted: {'; '.join(problems)}" if problems else "may be promoted: better than history"
    )
    basis = f"on {len(on)} failures of {on.count} jobs, drawn by job"
    words = f"{verdict}. {'; '.join(said)}; worst slice {worst}; {basis}"
    return Verdict(promote=not problems, words=words, measures=measures)


def drift(on: Slice, champion: Floats, history: Floats, draws: Places) -> Drift:
    """Say whether the model in force has become worse than history alone."""
    measures = {"live_failures": float(len(on))}
    if thin := too_thin(on):
        return Drift(drifted=False, words=f"no verdict: {thin}", measures=measures)
    found = compared(on, champion - history, draws)
    measures |= {"live_log_score": float(champion.mean()), "live_log_score_history": float(history.mean())}
    if found.low > 0:
        words = f"drifted: log score {found.words} against history alone, on {len(on)} failures"
        return Drift(drifted=True, words=words, measures=measures)
    return Drift(drifted=False, words="no drift", measures=measures)


def too_thin(on: Slice) -> str:
    """Say what is missing to judge by; empty when nothing is."""
    if on.count < LEAST_JOBS:
        return f"failures of {on.count} jobs in the newest slice, {LEAST_JOBS} are needed"
    recovered = len(np.unique(on.jobs[on.recovered]))
    if recovered < LEAST_RECOVERED:
        return f"{recovered} of {on.count} jobs in the newest slice recovered, {LEAST_RECOVERED} are needed"
    return ""


def _measured(on: Slice, losses: Floats) -> dict[str, float]:
    return {SCORE: float(losses.mean()), "failures": float(len(on)), "jobs": float(on.count)}


def _apart(on: Slice, more: Floats, draws: Places) -> tuple[str, list[str]]:
    """Give the slice in which a challenger is farthest behind, and all in which it is surely worse."""
    worse: list[str] = []
    most, worst = -np.inf, "none is large enough"
    for name, where in sorted(on.slices.items()):
        if len(np.unique(on.jobs[where])) < LEAST_OF_SLICE:
            continue
        found = compared(on, np.where(where, more, np.nan), draws, SLICE_TAIL)
        words = f"{name} {found.words}"
        if found.more > most:
            most, worst = found.more, words
        if found.low > 0:
            worse.append(words)
    return worst, worse
