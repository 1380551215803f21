"""Made-up jobs that behave like recorded ones: where there are none at hand, and for tests of the protocol.

Calibrated to documented figures of the Google trace of 2011: a few tenants submit most jobs; run times are
lognormal by (tenant, type), cut off at two hours; 55 % finish, 43 % are cancelled; failures (1.3 %) come in
episodes of a type that begin at random and last hours, so that history predicts most of them and not all.
"""

import numpy as np
from numpy.typing import NDArray

from adapters.learned.rows import NOT_ENDED
from adapters.recordings.columns import GOOGLE_LIMIT_MS, GOOGLE_ZERO_MS, of_table
from adapters.recordings.jobs import DAY_MS, Integers, RecordedJobs
from core.learning.events import Status

TENANTS = 40
TYPES = 400
CANCELLED = 0.43
EPISODES_PER_TYPE_DAY = 0.12
EPISODE_HOURS = 3.0
FAILS_IN_EPISODE = 0.85
FAILS_OTHERWISE = 0.002


def made_up(jobs: int, days: float, seed: int) -> RecordedJobs:
    """Make jobs over some days; equal seeds make equal jobs."""
    dice = np.random.default_rng(seed)
    submit_ms = np.sort(dice.integers(0, round(days * DAY_MS), jobs))
    types = np.minimum(dice.zipf(1.3, jobs), TYPES)
    owner = dice.integers(1, TENANTS + 1, TYPES + 1)
    typical, spread = dice.normal(4.9, 1.5, TYPES + 1), dice.uniform(0.1, 0.7, TYPES + 1)
    run_ms = np.exp(dice.normal(typical[types], spread[types]) + np.log(1000)).astype(np.int64)
    run_ms = np.minimum(run_ms, 3 * GOOGLE_LIMIT_MS)
    failing = _in_episode(dice, submit_ms, types, days)
    fails = dice.random(jobs) < np.where(failing, FAILS_IN_EPISODE, FAILS_OTHERWISE)
    cancels = dice.random(jobs) < CANCELLED
    status = np.where(fails, Status.FAILED, np.where(cancels, Status.CANCELLED, Status.OK))
    # What fails does so early.
    run_ms = np.where(fails, run_ms // 4 + 1, run_ms)
    started_ms = submit_ms + dice.integers(500, 3000, jobs)
    ended_ms = started_ms + run_ms
    ended_ms = np.where(ended_ms < days * DAY_MS, ended_ms, NOT_ENDED)
    names = np.arange(1, jobs + 1) // 3 + 1
    zeros = np.zeros(jobs, np.int64)
    table = np.stack(
        [submit_ms, started_ms, ended_ms, run_ms, status, owner[types], types, names, types % 4, zeros, zeros]
    ).astype(np.int64)
    return of_table(table, GOOGLE_ZERO_MS, GOOGLE_LIMIT_MS)


def _in_episode(
    dice: np.random.Generator, submit_ms: Integers, types: Integers, days: float
) -> NDArray[np.bool_]:
    found = np.zeros(len(submit_ms), np.bool_)
    for type_ in np.unique(types):
        for _ in range(dice.poisson(EPISODES_PER_TYPE_DAY * days)):
            begin_ms = dice.uniform(0, days * DAY_MS)
            length_ms = dice.exponential(EPISODE_HOURS) * 3_600_000
            found |= (types == type_) & (submit_ms >= begin_ms) & (submit_ms < begin_ms + length_ms)
    return found
