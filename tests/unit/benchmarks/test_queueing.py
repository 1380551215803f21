"""The simulation that measured waits are compared with, against the formulas of queueing theory."""

import random

import pytest

from benchmarks.queueing import Arrival, erlang_c, island_waits, shared_waits
from benchmarks.stealing import LONGEST, Load, draw, owners, waits_of


def poisson(per_s: float, mean_run_s: float, jobs: int, seed: int) -> list[Arrival]:
    dice, at_s, arrivals = random.Random(seed), 0.0, []
    for _ in range(jobs):
        at_s += dice.expovariate(per_s)
        arrivals.append(Arrival(at_s, dice.expovariate(1 / mean_run_s), island=dice.randrange(4)))
    return arrivals


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_one_slot_waits_as_mm1_says() -> None:
    load = 0.7
    found = mean(shared_waits(poisson(load, 1.0, 100_000, 1), 1))
    assert found == pytest.approx(load / (1 - load), rel=0.05)


@pytest.mark.parametrize(("slots", "load"), [(4, 0.8), (16, 0.85)])
def test_several_slots_wait_as_erlang_c_says(slots: int, load: float) -> None:
    found = shared_waits(poisson(load * slots, 1.0, 150_000, 2), slots)
    assert mean(found) == pytest.approx(erlang_c(slots, load) / (slots * (1 - load)), rel=0.1)
    waited = sum(wait_s > 0 for wait_s in found) / len(found)
    assert waited == pytest.approx(erlang_c(slots, load), rel=0.05)


def test_islands_wait_as_queues_of_their_own() -> None:
    found = mean(island_waits(poisson(0.8 * 16, 1.0, 150_000, 3), 4))
    assert found == pytest.approx(erlang_c(4, 0.8) / (4 * 0.2), rel=0.1)


def test_the_known_values_of_erlang_c() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 0.5) == pytest.approx(1 / 3)


def test_a_free_slot_takes_the_job_with_the_largest_head_start_first() -> None:
    jobs = [Arrival(0.0, 10.0), Arrival(1.0, 1.0), Arrival(2.0, 1.0, head_start_s=5.0)]
    assert shared_waits(jobs, 1) == [0.0, 10.0, 8.0]


def test_nobody_waits_while_a_slot_is_free() -> None:
    assert shared_waits([Arrival(5.0, 1.0), Arrival(5.0, 1.0), Arrival(100.0, 1.0)], 2) == [0.0, 0.0, 0.0]


def test_a_load_repeats_and_has_the_mean_it_is_asked_for() -> None:
    load = Load(600.0, 0.9, 2.0)
    jobs = draw(load)
    assert jobs == draw(load)
    assert mean([run_s for _, run_s in jobs]) == pytest.approx(2.0)
    assert max(run_s for _, run_s in jobs) < 2 * LONGEST * 2.0
    assert len(jobs) == pytest.approx(600 * 0.9 * 16 / 2.0, rel=0.1)


def test_every_partition_has_an_owner_and_every_owner_as_many() -> None:
    assert sorted(owners().values()) == [executor for executor in range(4) for _ in range(4)]


def test_waits_are_summed_up_by_nearest_rank() -> None:
    found = waits_of([4.0, 1.0, 2.0, 3.0])
    assert (found.mean, found.p50, found.p99, found.max) == (2.5, 2.0, 4.0, 4.0)
