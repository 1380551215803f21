"""Executors' own code over the log in memory, in virtual time: queues pool."""

import pytest

from benchmarks.pooling import simulate
from benchmarks.stealing import Load

LOAD = Load(seconds=600.0, load=0.9, mean_run_s=6.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_mean_wait_is_within_a_fifth_of_one_shared_queue(seed: int) -> None:
    found = simulate(LOAD, steals=True, seed=seed)
    assert found.succeeded == found.jobs
    assert found.committed_all
    assert found.ratio < 1.2, found
    assert found.islands.mean > 3 * found.shared.mean, "a load on which islands are no worse shows nothing"
    refused = sum(count for what, count in found.claims.items() if what.endswith("refused"))
    assert refused < found.jobs / 20, found.claims


def test_without_stealing_executors_are_islands() -> None:
    found = simulate(LOAD, steals=False, seed=1)
    assert found.succeeded == found.jobs
    assert found.measured.mean == pytest.approx(found.islands.mean, rel=0.1)
    assert found.claims == {"own held": found.jobs}
