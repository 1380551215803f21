"""Three beginnings: nothing is known yet, types come that nobody saw, run times change thirty-fold.

Each is a stretch of the same jobs, changed in one way, replayed from its own beginning. Judged days are not
among them.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.learned.rows import NOT_ENDED
from adapters.recordings.jobs import COLUMNS, RecordedJobs

Mask = NDArray[np.bool_]
FACTOR = 30
SHARE_OF_TYPES = 0.2
"""Of types, drawn, that are new, or change."""


class Plan(NamedTuple):
    """When what happens, in days of a recording."""

    begin: float
    """Nothing before is known."""
    cut: float
    """A model is trained on what had ended by then, and jobs are served from then on."""
    event: float
    """New types come, or run times change."""
    until: float


class Shock(NamedTuple):
    """Jobs to which something happens."""

    name: str
    jobs: RecordedJobs
    marked: Mask
    """Those that are new, or changed: (n_jobs,)."""


def chosen(jobs: RecordedJobs, rows: Mask) -> RecordedJobs:
    """Give the jobs of these rows."""
    return replace(jobs, **{name: getattr(jobs, name)[rows] for name in COLUMNS})


def drawn_types(jobs: RecordedJobs, share: float, seed: int) -> NDArray[np.int64]:
    """Draw some of the types, whatever they are like; equal seeds draw equal ones."""
    types = np.unique(jobs.type)
    found: NDArray[np.int64] = types[np.random.default_rng(seed).random(len(types)) < share]
    return found


def new_types(jobs: RecordedJobs, types: NDArray[np.int64], at_ms: int) -> Shock:
    """Give the jobs without those of some types submitted before a time."""
    of_types = np.isin(jobs.type, types)
    kept = ~of_types | (jobs.submitted_ms >= at_ms)
    return Shock("new types", chosen(jobs, kept), of_types[kept])


def changed_run_times(
    jobs: RecordedJobs, types: NDArray[np.int64], at_ms: int, factor: int = FACTOR
) -> Shock:
    """Let jobs of some types run otherwise from a time on.

    Types whose median run, before that time, leaves room below the limit run ``factor`` times as long, cut
    off at the limit; the others a ``factor``-th. What is submitted before keeps its run time.
    """
    of_types = np.isin(jobs.type, types) & (jobs.submitted_ms >= at_ms)
    run_ms = jobs.run_ms.copy()
    before = jobs.submitted_ms < at_ms
    for type_ in types.tolist():
        known = jobs.run_ms[(jobs.type == type_) & before]
        if not len(known):
            continue
        rows = of_types & (jobs.type == type_)
        if float(np.median(known)) * factor <= jobs.limit_ms:
            run_ms[rows] = np.minimum(jobs.limit_ms, jobs.run_ms[rows] * factor)
        else:
            run_ms[rows] = np.maximum(1, jobs.run_ms[rows] // factor)
    ended = jobs.ended_ms != NOT_ENDED
    ended_ms = np.where(ended, jobs.ended_ms + run_ms - jobs.run_ms, NOT_ENDED)
    changed = replace(jobs, run_ms=run_ms, ended_ms=ended_ms)
    return Shock("changed run times", changed, of_types & (run_ms != jobs.run_ms))
