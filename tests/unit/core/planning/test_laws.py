"""The laws at values that are known."""

import math

import pytest

from benchmarks.queueing import erlang_c
from core.planning.laws import Scalability, fit_scalability, waits_share


@pytest.mark.parametrize(("slots", "load"), [(1, 0.5), (4, 0.9), (64, 0.7), (100, 0.99)])
def test_the_share_that_waits_is_erlangs(slots: int, load: float) -> None:
    assert waits_share(slots, slots * load) == pytest.approx(erlang_c(slots, load))


def test_without_room_everybody_waits() -> None:
    assert waits_share(8, 8.0) == 1.0
    assert waits_share(100_000, 70_000.0) == pytest.approx(0.0)


def test_linear_scaling_has_no_best_number() -> None:
    assert math.isinf(Scalability().best)
    assert Scalability().instances(123.4) == pytest.approx(123.4)


def test_contention_alone_is_amdahls_law() -> None:
    law = Scalability(0.05)
    assert law.capacity(1e9) == pytest.approx(20.0, rel=1e-6)
    assert math.isinf(law.instances(20.0))
    assert law.instances(10.0) == pytest.approx(19.0)


def test_coherency_has_a_maximum() -> None:
    law = Scalability(0.02, 0.0005)
    assert law.best == pytest.approx(44.27, abs=0.01)
    assert law.capacity(law.best) > law.capacity(law.best + 5)
    assert law.capacity(law.best) > law.capacity(law.best - 5)


def test_nothing_is_fitted_to_one_instance() -> None:
    assert fit_scalability([(1, 1.0)]) == Scalability()
    assert fit_scalability([]) == Scalability()


def test_work_that_becomes_cheaper_is_not_extrapolated() -> None:
    assert fit_scalability([(1, 1.0), (2, 2.4), (4, 5.0)]) == Scalability()
