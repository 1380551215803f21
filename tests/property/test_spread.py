"""Spreads: the same buckets over other costs."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.buckets import BUCKETS, bucket_of, head_start_step_s
from core.learning.spread import (
    FITTED_MIN,
    LEAST_RATIO,
    MOVED_BUCKETS,
    STANDARD,
    Spread,
    fitted,
    has_moved,
    relative_cost_s,
)
from core.priority import PriorityRule, scaled, score
from core.urgency import Urgency

fewer = settings(max_examples=40)
costs = st.floats(1e-3, 1e6)
spreads = st.builds(
    lambda low, ratio: Spread(low, low * ratio), st.floats(1e-2, 1e4), st.floats(LEAST_RATIO, 1e5)
)


def _bucket(cost_s: float, spread: Spread, rule: PriorityRule) -> int:
    scored = score(predicted_run_s=cost_s, own=Urgency(5, None), now_ms=0, rule=rule, spread=spread)
    return bucket_of(scored.head_start_s, rule.per_decade_s)


@fewer
@given(costs)
def test_the_standard_spread_changes_nothing(cost_s: float) -> None:
    assert relative_cost_s(cost_s, STANDARD) == cost_s


@fewer
@given(costs, costs, spreads)
def test_order_is_kept(one_s: float, other_s: float, spread: Spread) -> None:
    low_s, high_s = sorted((one_s, other_s))
    assert relative_cost_s(low_s, spread) <= relative_cost_s(high_s, spread) * (1 + 1e-12)
    rule = scaled(PriorityRule(), 5000.0)
    assert _bucket(low_s, spread, rule) <= _bucket(high_s, spread, rule)


@fewer
@given(spreads, st.floats(100, 1e5))
def test_the_ends_of_a_spread_are_the_ends_of_the_scale(spread: Spread, step_s: float) -> None:
    rule = scaled(PriorityRule(), step_s)
    assert head_start_step_s(rule.per_decade_s) == pytest.approx(step_s)
    assert _bucket(spread.low_s * 0.999, spread, rule) == 0
    assert _bucket(spread.high_s * 1.001, spread, rule) == BUCKETS - 1
    # Evenly spaced on the logarithm: just above bound k begins bucket k + 1.
    for k in range(BUCKETS - 1):
        bound_s = spread.low_s * (spread.high_s / spread.low_s) ** (k / (BUCKETS - 1))
        assert _bucket(bound_s * 1.001, spread, rule) == k + 1


@fewer
@given(st.lists(st.floats(0, 1e5), max_size=300))
def test_a_fitted_spread_is_wide_enough_to_be_no_noise(run_times_s: list[float]) -> None:
    spread = fitted(run_times_s)
    if len(run_times_s) < FITTED_MIN:
        assert spread == STANDARD
    else:
        assert spread.low_s > 0
        assert spread.high_s >= spread.low_s * LEAST_RATIO
        assert math.isfinite(spread.high_s)


def test_half_of_the_jobs_are_in_the_first_bucket_of_a_fitted_spread() -> None:
    runs_s = [10 * 1.01**number for number in range(1000)]
    spread = fitted(runs_s)
    rule = scaled(PriorityRule(), 1000.0)
    assert sum(_bucket(run_s, spread, rule) == 0 for run_s in runs_s) in {500, 501}
    assert 10 <= sum(_bucket(run_s, spread, rule) == BUCKETS - 1 for run_s in runs_s) <= 20


@fewer
@given(spreads, st.floats(-3, 3), st.floats(-3, 3))
def test_a_spread_has_moved_when_an_end_is_off_by_more_than_half_a_bucket(
    spread: Spread, low: float, high: float
) -> None:
    step = (spread.high_s / spread.low_s) ** (1 / (BUCKETS - 1))
    other = Spread(spread.low_s * step**low, spread.high_s * step**high)
    if abs(max(abs(low), abs(high)) - MOVED_BUCKETS) > 1e-6:
        assert has_moved(spread, other) == (max(abs(low), abs(high)) > MOVED_BUCKETS)
