"""Nothing that is new makes the shipped order dangerous: no history, new types, run times that change."""

import numpy as np
import pytest

from adapters.learned.training import Recipe
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.replay import replayed
from benchmarks.learning.generator import made_up
from benchmarks.learning.results import ShockTable
from benchmarks.learning.shock_tables import (
    FIFO,
    LAW,
    MEAN,
    MODEL,
    NO_LAW,
    ORACLE,
    cold_start,
    shock_bars,
    struck,
)
from benchmarks.learning.shocks import Plan, changed_run_times, drawn_types, new_types

RECIPE = Recipe(limit_ms=7_200_000, run_rounds=(8, 8), failed_rounds=(3,) * 4)
PLAN = Plan(begin=0.2, cut=3, event=4, until=6)


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def jobs() -> RecordedJobs:
    return made_up(9_000, 6.0, seed=5)


def _close_to_plain(table: ShockTable) -> bool:
    return all(bar.met for bar in shock_bars([table]))


def test_without_history_nobody_waits_longer_than_in_order_of_arrival(jobs: RecordedJobs) -> None:
    table = cold_start(jobs, replayed(jobs, quiet), 3_000)
    waits = table.by_policy
    assert table.jobs == 3_000
    assert _close_to_plain(table)
    assert waits[ORACLE].mean_s < waits[LAW].mean_s < waits[FIFO].mean_s
    assert waits[NO_LAW].mean_s <= waits[FIFO].mean_s * 1.02
    # Also the first of all, when nothing at all has ended.
    assert waits[LAW].marked_s <= waits[FIFO].marked_s * 1.1


def test_types_that_nobody_saw_cost_no_more_than_under_the_running_mean(jobs: RecordedJobs) -> None:
    shock = new_types(jobs, drawn_types(jobs, 0.2, seed=1), jobs.day(PLAN.event))
    table = struck(shock, replayed(shock.jobs, quiet), PLAN, RECIPE, quiet)
    assert table.marked > 50
    assert _close_to_plain(table)
    assert table.by_policy[MODEL].mean_s < table.by_policy[FIFO].mean_s
    assert np.isfinite(table.by_policy[MODEL].marked_s)


def test_run_times_that_change_cost_no_more_than_under_the_running_mean(jobs: RecordedJobs) -> None:
    shock = changed_run_times(jobs, drawn_types(jobs, 0.4, seed=1), jobs.day(PLAN.event))
    table = struck(shock, replayed(shock.jobs, quiet), PLAN, RECIPE, quiet)
    assert table.marked > 50
    assert _close_to_plain(table)
    assert table.by_policy[MODEL].mean_s < table.by_policy[FIFO].mean_s
    assert table.by_policy[MEAN].max_s > 0
