"""Finds columns that know the future: change what happens from a time on, and see what changes before it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from adapters.learned.rows import NOT_ENDED
from adapters.recordings.jobs import RecordedJobs
from core.learning.features import FEATURES
from ports.models import Vectors

MakeVectors = Callable[[RecordedJobs], Vectors]


def with_another_future(jobs: RecordedJobs, from_ms: int, seed: int) -> RecordedJobs:
    """Give the jobs with other outcomes of all that had not ended by then, and other jobs from then on.

    What was submitted or had ended before ``from_ms`` did so as it was.
    """
    dice = np.random.default_rng(seed)
    open_ = np.flatnonzero((jobs.ended_ms == NOT_ENDED) | (jobs.ended_ms >= from_ms))
    run_ms, status, ended_ms = (column.copy() for column in (jobs.run_ms, jobs.status, jobs.ended_ms))
    run_ms[open_] = dice.permutation(run_ms[open_]) + 1
    status[open_] = (status[open_] + 1) % 3
    begins_ms = np.maximum(jobs.submitted_ms[open_], from_ms)
    ended_ms[open_] = begins_ms + dice.integers(0, 3_600_000, len(open_))
    later = np.flatnonzero(jobs.submitted_ms >= from_ms)
    type_ = jobs.type.copy()
    type_[later] = dice.permutation(type_[later])
    return replace(jobs, run_ms=run_ms, status=status, ended_ms=ended_ms, type=type_)


def leaking(make: MakeVectors, jobs: RecordedJobs, from_ms: int, seed: int = 1) -> list[str]:
    """Name the columns whose values before ``from_ms`` depend on what happens from then on.

    Columns beyond ``FEATURES`` are named by their number.
    """
    before = jobs.between(0, from_ms)
    one, other = make(jobs)[before], make(with_another_future(jobs, from_ms, seed))[before]
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    names = [feature.name for feature in FEATURES]
    return [
        names[place] if place < len(names) else f"column {place}"
        for place in np.flatnonzero(~same.all(axis=0))
    ]


def with_ends_known_later(jobs: RecordedJobs, delay_ms: int) -> RecordedJobs:
    """Give the jobs as a stream would show them whose ends are delivered that much later."""
    ended_ms = np.where(jobs.ended_ms == NOT_ENDED, NOT_ENDED, jobs.ended_ms + delay_ms)
    return replace(jobs, ended_ms=ended_ms)
