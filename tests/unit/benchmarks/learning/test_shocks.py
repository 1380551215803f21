"""What is done to jobs so that something is new."""

import numpy as np
import pytest

from adapters.recordings.jobs import RecordedJobs
from benchmarks.learning.generator import made_up
from benchmarks.learning.shocks import FACTOR, changed_run_times, chosen, drawn_types, new_types


@pytest.fixture(scope="module")
def jobs() -> RecordedJobs:
    return made_up(2_000, 6.0, seed=4)


def test_a_share_of_the_types_is_drawn(jobs: RecordedJobs) -> None:
    types = drawn_types(jobs, 0.2, seed=1)
    assert 0.1 < len(types) / len(np.unique(jobs.type)) < 0.3
    assert (types == drawn_types(jobs, 0.2, seed=1)).all()


def test_new_types_come_at_their_time_and_nothing_else_is_taken_away(jobs: RecordedJobs) -> None:
    at_ms, types = jobs.day(3), drawn_types(jobs, 0.2, seed=1)
    shock = new_types(jobs, types, at_ms)
    of_types = np.isin(shock.jobs.type, types)
    assert of_types.any()
    assert (shock.jobs.submitted_ms[of_types] >= at_ms).all()
    assert (shock.marked == of_types).all()
    gone = np.isin(jobs.type, types) & (jobs.submitted_ms < at_ms)
    assert len(shock.jobs) == len(jobs) - gone.sum()


def test_run_times_change_thirty_fold_from_their_time_on(jobs: RecordedJobs) -> None:
    at_ms, types = jobs.day(3), drawn_types(jobs, 0.2, seed=1)
    shock = changed_run_times(jobs, types, at_ms)
    same = ~shock.marked
    assert (shock.jobs.run_ms[same] == jobs.run_ms[same]).all()
    assert (shock.jobs.submitted_ms[shock.marked] >= at_ms).all()
    assert np.isin(jobs.type[shock.marked], types).all()
    ratio = shock.jobs.run_ms[shock.marked] / jobs.run_ms[shock.marked]
    room = jobs.run_ms[shock.marked] * FACTOR <= jobs.limit_ms
    assert (np.isclose(ratio, FACTOR) | np.isclose(ratio, 1 / FACTOR, rtol=0.1) | ~room).all()
    assert (ratio > 1).any()
    assert (ratio < 1).any()
    # What runs longer ends later, by as much.
    ended = jobs.has_ended
    moved_ms = (shock.jobs.ended_ms - jobs.ended_ms)[ended]
    assert (moved_ms == (shock.jobs.run_ms - jobs.run_ms)[ended]).all()
    assert (shock.jobs.ended_ms[~ended] == jobs.ended_ms[~ended]).all()
    assert shock.jobs.run_ms.max() <= jobs.limit_ms


def test_chosen_jobs_keep_their_order(jobs: RecordedJobs) -> None:
    few = chosen(jobs, jobs.tenant == jobs.tenant[0])
    assert 0 < len(few) < len(jobs)
    assert (np.diff(few.submitted_ms) >= 0).all()
    assert few.began_ms == jobs.began_ms
