"""Execution buckets and the head start each one is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.buckets import (
    BUCKET_BOUNDS_S,
    BUCKETS,
    REFERENCE_COST_S,
    bucket_head_start_s,
    bucket_of,
    head_start_step_s,
)

PER_DECADE_S = 1200.0
head_starts = st.floats(min_value=-1e5, max_value=1e5)


def test_bounds_are_spaced_by_four_from_a_quarter_second() -> None:
    assert BUCKET_BOUNDS_S == (0.25, 1, 4, 16, 64, 256, 1024)
    assert REFERENCE_COST_S == 4096


@given(head_starts)
def test_a_bucket_promises_no_more_head_start_than_was_earned(head_start_s: float) -> None:
    bucket = bucket_of(head_start_s, PER_DECADE_S)
    assert bucket_head_start_s(bucket, PER_DECADE_S) <= max(head_start_s, 0.0) + 1e-5


@given(head_starts)
def test_a_bucket_wastes_less_than_one_step_of_what_was_earned(head_start_s: float) -> None:
    bucket = bucket_of(head_start_s, PER_DECADE_S)
    wasted_s = head_start_s - bucket_head_start_s(bucket, PER_DECADE_S)
    assert bucket == 0 or wasted_s < head_start_step_s(PER_DECADE_S)


@given(head_starts, head_starts)
def test_a_larger_head_start_never_gets_a_later_bucket(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert bucket_of(large, PER_DECADE_S) <= bucket_of(small, PER_DECADE_S)


@given(head_starts)
def test_every_head_start_has_a_bucket(head_start_s: float) -> None:
    assert 0 <= bucket_of(head_start_s, PER_DECADE_S) < BUCKETS


@pytest.mark.parametrize("bucket", range(BUCKETS))
def test_a_buckets_own_head_start_falls_into_that_bucket(bucket: int) -> None:
    assert bucket_of(bucket_head_start_s(bucket, PER_DECADE_S), PER_DECADE_S) == bucket


def test_the_last_bucket_has_no_head_start() -> None:
    assert bucket_head_start_s(BUCKETS - 1, PER_DECADE_S) == 0.0
    assert bucket_of(-5.0, PER_DECADE_S) == BUCKETS - 1


def test_neighbours_are_a_factor_of_four_apart_in_cost() -> None:
    assert head_start_step_s(PER_DECADE_S) == pytest.approx(722.5, abs=0.1)
