"""The simulated pipeline loses nothing, obeys laws it was not told of, and is as near to reality as said."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scale.check import checks
from benchmarks.scale.costs import SimCosts, derive
from benchmarks.scale.measured import BATCHES, PUBLISHED
from benchmarks.scale.simulate import Leaving, Load, simulate
from benchmarks.scale.world import Deployment, touched
from core.services import JOB_SERVICES

STEPS = ("acknowledged", "claimed", "started", "closed in the ledger", "terminal row")


@pytest.fixture(scope="module")
def costs() -> SimCosts:
    return derive(PUBLISHED, BATCHES)


def large(instances: int = 4, partitions: int = 64) -> Deployment:
    return Deployment(
        partitions=partitions,
        instances=dict.fromkeys(JOB_SERVICES, instances),
        slots=512,
        brokers=3,
        broker_cores=8,
        postgres_cores=8,
        network_s=0.00025,
    )


def test_every_job_gets_a_row_and_takes_its_steps_in_order(costs: SimCosts) -> None:
    found = simulate(large(), costs, Load(rate_per_s=2000.0, seconds=1.0, run_time_s=0.05), drain_s=3.0)
    assert found.waiting == 0
    assert 1700 < len(found.rows_at) < 2300
    medians = [found.until_ms[step][0] for step in STEPS]
    assert medians == sorted(medians)
    closed_after_start_ms = found.until_ms["closed in the ledger"][0] - found.until_ms["started"][0]
    assert closed_after_start_ms > 50.0


def test_equal_arguments_give_equal_outcomes(costs: SimCosts) -> None:
    load = Load(rate_per_s=1000.0, seconds=0.5)
    one, same, other = (simulate(large(), costs, load, seed=seed, drain_s=1.0) for seed in (1, 1, 2))
    assert np.array_equal(one.rows_at, same.rows_at)
    assert not np.array_equal(one.rows_at, other.rows_at)


def test_processors_are_used_as_the_utilization_law_says(costs: SimCosts) -> None:
    no_wakes = replace(
        costs,
        stages={name: replace(one, wake_us=0.0) for name, one in costs.stages.items()},
        batch_us=0.0,
        idle_share={},
    )
    found = simulate(large(), no_wakes, Load(rate_per_s=4000.0, seconds=2.0), drain_s=2.0)
    jobs = len(found.rows_at)
    for name in ("ingest", "prioritizer", "executor"):
        assert found.cores[name] * 4.0 == pytest.approx(jobs * costs.stages[name].job_us / 1e6, rel=0.01)


def test_slots_are_used_as_littles_law_says(costs: SimCosts) -> None:
    few = replace(large(), slots=50)
    # 4 x 50 slots of 0.1 s each: at most 2,000 a second, less what claiming takes.
    found = simulate(few, costs, Load(rate_per_s=4000.0, seconds=3.0, run_time_s=0.1, warm_up_s=1.0))
    assert 1200 < found.jobs_per_s < 2000


def test_more_than_it_can_do_waits(costs: SimCosts) -> None:
    one = replace(large(instances=1), slots=8000)
    found = simulate(one, costs, Load(rate_per_s=20_000.0, seconds=1.0))
    assert found.waiting > 5_000
    assert found.busy[found.busiest] >= 0.99


def test_a_backlog_is_done_to_the_last(costs: SimCosts) -> None:
    found = simulate(large(), costs, Load(backlog=3000))
    assert found.waiting == 0
    assert found.jobs_per_s > 1000


def test_what_a_dead_instance_had_is_done_by_others(costs: SimCosts) -> None:
    leaving = Leaving("materializer", at_s=0.3, session_s=0.5)
    load = Load(rate_per_s=2000.0, seconds=1.0)
    usual = simulate(large(), costs, load, drain_s=4.0)
    found = simulate(large(), costs, load, leaving=leaving, drain_s=4.0)
    assert found.waiting == usual.waiting == 0
    assert found.until_ms["terminal row"][1] > 400 > usual.until_ms["terminal row"][1]


@pytest.mark.parametrize(
    ("places", "records", "expected"), [(1, 50, 1.0), (1000, 1, 1.0), (2, 2, 1.5), (9, 0, 0)]
)
def test_places_touched_are_those_of_balls_in_boxes(places: float, records: int, expected: float) -> None:
    assert touched(places, records) == pytest.approx(expected)


def test_a_wake_costs_what_a_job_alone_pays_beyond_one_in_a_backlog(costs: SimCosts) -> None:
    # Ingest: (10 - 0.4) % of a core at 50/s are 1,920 us a job, 45 of them also in a backlog; two batches.
    assert costs.stages["ingest"].wake_us == pytest.approx(1875.0 - 2 * 78)
    assert costs.stages["materializer"].job_us == 126


def test_the_simulation_is_as_near_to_what_was_measured_as_the_document_says(costs: SimCosts) -> None:
    found = {one.what: one.error for one in checks(PUBLISHED, costs)}
    assert abs(found["20,000 at once"]) < 0.25
    assert abs(found["50/s, CPU"]) < 0.25
    assert abs(found["500/s, CPU"]) < 0.5
    assert abs(found["50/s until terminal row, p50"]) < 0.6
    assert abs(found["50/s until started, p50"]) < 0.6
