"""Simulated queues: the shipped order beside the exact ones."""

import numpy as np
import pytest

from benchmarks.learning.queues import (
    Expected,
    Floats,
    Load,
    in_order_of,
    load_of,
    shipped,
    stretched,
    waits_of,
)
from core.learning.law import OrderLaw
from core.learning.spread import fitted
from core.learning.starts import StartGuard
from core.priority import PriorityRule, scaled

NO_GUARD = StartGuard(oldest_share=0.0)


def _load(jobs: int = 3000, rho: float = 0.95, seed: int = 1) -> Load:
    dice = np.random.default_rng(seed)
    ready_s = np.cumsum(dice.exponential(1.0, jobs))
    return load_of(ready_s, np.exp(dice.normal(2, 1.2, jobs)), rho)


def _law(load: Load, step_s: float, guard: StartGuard = NO_GUARD) -> OrderLaw:
    return OrderLaw(scaled(PriorityRule(), step_s), fitted(load.run_s.tolist()), guard)


def _waits(load: Load, by: Floats, law: OrderLaw) -> Floats:
    return shipped(load, Expected(by, by), law).waits_s


def test_without_head_starts_the_shipped_order_is_first_in_first_out() -> None:
    load = _load()
    waits_s = _waits(load, load.run_s, _law(load, 1e-6))
    assert waits_s == pytest.approx(in_order_of(load, load.ready_s), abs=2e-3)


def test_buckets_of_exact_predictions_come_near_to_the_exact_order() -> None:
    load = _load()
    oracle = in_order_of(load, load.run_s).mean()
    fifo = in_order_of(load, load.ready_s).mean()
    assert oracle <= _waits(load, load.run_s, _law(load, 1e5)).mean() < 0.25 * (fifo - oracle) + oracle


def test_nobody_waits_much_longer_than_the_longest_wait_allowed() -> None:
    load = _load()
    free = _waits(load, load.run_s, _law(load, 1e6)).max()
    limit_s = free / 2
    guarded = _waits(load, load.run_s, _law(load, 1e6, StartGuard(0.0, limit_s)))
    assert limit_s < guarded.max() < 0.85 * free


def test_a_share_for_the_oldest_shortens_the_longest_wait() -> None:
    load = _load()
    alone = _waits(load, load.run_s, _law(load, 1e6)).max()
    assert _waits(load, load.run_s, _law(load, 1e6, StartGuard(oldest_share=0.3))).max() < alone


def test_a_wrong_model_never_orders_anything() -> None:
    load = _load()
    law = _law(load, 1e5, StartGuard())
    base = shipped(load, Expected(load.run_s, load.run_s), law)
    nothing = np.full(len(load.run_s), np.nan)
    # The last tells jobs apart without a fault, and puts all of them into one bucket.
    for wrong in (1 / load.run_s, nothing, np.ones(len(load.run_s)), load.run_s * 1e-6):
        found = shipped(load, Expected(wrong, load.run_s), law)
        assert not found.trusted.any()
        assert (found.waits_s == base.waits_s).all()


def test_a_good_model_orders_once_it_has_shown_itself() -> None:
    load = _load()
    noisy = load.run_s * np.exp(np.random.default_rng(2).normal(0, 1.5, len(load.run_s)))
    law = _law(load, 1e5)
    found = shipped(load, Expected(load.run_s, noisy), law)
    assert not found.trusted[:400].any()
    assert found.trusted[-1000:].all()
    assert found.waits_s.mean() < _waits(load, noisy, law).mean()


def test_a_load_is_what_it_is_called() -> None:
    load = _load(rho=0.8)
    offered = load.run_s.sum() / (load.ready_s[-1] - load.ready_s[0])
    assert offered / load.slots == pytest.approx(0.8, abs=0.05)
    moved = stretched(load.ready_s, load.run_s, 7, 0.9)
    assert load.run_s.sum() / (moved.ready_s[-1] * 7) == pytest.approx(0.9)


def test_waits_are_summed_up_with_bounded_slowdown() -> None:
    load = Load(np.zeros(2), np.array([1.0, 100.0]), 1)
    found = waits_of(load, np.array([19.0, 100.0]))
    assert found.mean_s == 59.5
    assert found.slowdown == 2.0
    assert found.max_s == 100.0
