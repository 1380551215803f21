"""A model that contradicts the running mean is noticed as jobs are scored."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.learning.agreement import HALF_LIFE, LEAST_PAIRS, Agreement

fewer = settings(max_examples=30)
numbers = st.floats(allow_nan=True, allow_infinity=True)
seeds = st.integers(0, 10_000)


def _drawn(seed: int, count: int) -> list[float]:
    found: list[float] = np.random.default_rng(seed).normal(0, 1, count).tolist()
    return found


@fewer
@given(st.lists(st.tuples(numbers, numbers), max_size=60))
def test_agreement_is_a_share_whatever_is_predicted(pairs: list[tuple[float, float]]) -> None:
    agreement = Agreement()
    for by_model, by_mean in pairs:
        agreement.saw(by_model, by_mean)
    assert -1 <= agreement.value <= 1


@fewer
@given(seeds, st.integers(300, 600))
def test_whoever_turns_round_contradicts_within_three_half_lives(seed: int, turns_at: int) -> None:
    agreement = Agreement()
    for place, by_mean in enumerate(_drawn(seed, turns_at + round(3 * HALF_LIFE))):
        agreement.saw(math.exp(by_mean if place < turns_at else -by_mean), by_mean)
        if place < turns_at:
            assert not agreement.contradicts
    assert agreement.contradicts


@fewer
@given(seeds)
def test_a_model_that_mostly_agrees_never_contradicts(seed: int) -> None:
    """Twice as far from the mean as good models of recorded days are."""
    agreement = Agreement()
    for by_mean, noise in zip(_drawn(seed, 2000), _drawn(seed + 1, 2000), strict=True):
        agreement.saw(by_mean + 0.5 * noise, by_mean)
        assert not agreement.contradicts


@fewer
@given(seeds)
def test_a_model_contradicts_no_mean_that_is_all_noise(seed: int) -> None:
    agreement = Agreement()
    for by_mean, by_model in zip(_drawn(seed, 1000), _drawn(seed + 1, 1000), strict=True):
        agreement.saw(by_model, by_mean)
        assert not agreement.contradicts


@fewer
@given(seeds)
def test_what_orders_nothing_contradicts_nothing(seed: int) -> None:
    for nothing in (1.0, math.nan):
        agreement = Agreement()
        for by_mean in _drawn(seed, 200):
            agreement.saw(nothing, by_mean)
        assert agreement.value == 0
        assert not agreement.contradicts


def test_a_few_pairs_are_no_evidence() -> None:
    agreement = Agreement()
    seen = 0
    while not agreement.contradicts:
        agreement.saw(-float(seen), float(seen))
        seen += 1
    # Each of the first is compared with all before it, the later ones with eight.
    assert seen * (seen - 1) / 2 >= LEAST_PAIRS
