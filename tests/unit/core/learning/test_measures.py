"""Figures of merit against the same from first principles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.learning import measures

scored = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=1)


def _arrays(rows: list[tuple[bool, float]]) -> tuple[measures.Floats, measures.Floats]:
    hit, score = zip(*rows, strict=True)
    return np.array(hit, float), np.array(score)


@given(scored)
def test_average_precision_is_the_sum_over_thresholds(rows: list[tuple[bool, float]]) -> None:
    hit, score = _arrays(rows)
    expected, found_before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = score >= threshold
        found = hit[taken].sum()
        expected += (found - found_before) * found / taken.sum()
        found_before = found
    if hit.sum():
        assert measures.average_precision(hit, score) == pytest.approx(expected / hit.sum())
    else:
        assert np.isnan(measures.average_precision(hit, score))


@given(scored)
def test_auc_is_the_chance_that_a_hit_stands_above_a_miss(rows: list[tuple[bool, float]]) -> None:
    hit, score = _arrays(rows)
    pairs = list(itertools.product(score[hit > 0], score[hit == 0]))
    if pairs:
        expected = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
        assert measures.roc_auc(hit, score) == pytest.approx(expected)


@given(scored, st.sampled_from([0.5, 0.8, 0.9]))
def test_recall_at_a_precision_is_the_best_of_all_thresholds(
    rows: list[tuple[bool, float]], precision: float
) -> None:
    hit, score = _arrays(rows)
    best = 0.0
    for threshold in set(score):
        taken = score >= threshold
        if hit.sum() and hit[taken].mean() >= precision:
            best = max(best, hit[taken].sum() / hit.sum())
    assert measures.recall_at_precision(hit, score, precision)[0] == pytest.approx(best)


def test_what_is_said_and_what_happens_make_the_calibration_error() -> None:
    hit = np.array([0.0, 0, 0, 1, 1, 1, 1, 0])
    p = np.array([0.1] * 4 + [0.9] * 4)
    assert measures.calibration_error(hit, p) == pytest.approx(0.15)
    assert measures.log_loss(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))


def test_rank_correlation_knows_order_alone() -> None:
    one = np.array([1.0, 2, 3, 4])
    assert measures.spearman(one, np.exp(one)) == pytest.approx(1)
    assert measures.spearman(one, -one) == pytest.approx(-1)
    assert np.isnan(measures.spearman(one, np.ones(4)))
    assert measures.order_of(one, np.ones(4)) == 0
    assert measures.order_of(one, -one) == pytest.approx(-1)
    assert measures.ranks(np.array([5.0, 1, 5])).tolist() == [2.5, 1, 2.5]


def test_within_a_factor_counts_both_sides() -> None:
    log_true = np.log([10.0, 10, 10, 10])
    assert measures.within(log_true, np.log([5.01, 19.9, 21, 4.9]), 2.0) == 0.5


def test_an_interval_by_clusters_is_wider_than_one_by_rows_where_clusters_agree() -> None:
    dice = np.random.default_rng(1)
    clusters = np.repeat(np.arange(20), 50)
    values = np.repeat(dice.normal(size=20), 50) + dice.normal(size=1000) * 0.01

    def mean(rows: NDArray[np.int64]) -> float:
        return float(values[rows].mean())

    def interval(labels: NDArray[np.int64], rounds: int) -> tuple[float | None, float | None]:
        members = measures.clusters_of(labels)
        return measures.by_cluster(members, mean, dice.integers(0, len(members), (rounds, len(members))))

    low, high = interval(clusters, 100)
    row_low, row_high = interval(np.arange(1000), 100)
    assert low is not None
    assert high is not None
    assert row_low is not None
    assert row_high is not None
    assert high - low > 3 * (row_high - row_low)
    assert interval(clusters, 0) == (None, None)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=50))
def test_clusters_hold_every_row_once_with_rows_of_one_label(labels: list[int]) -> None:
    given_labels = np.array(labels)
    members = measures.clusters_of(given_labels)
    assert sorted(np.concatenate(members).tolist()) == list(range(len(labels)))
    assert [set(given_labels[rows].tolist()) for rows in members] == [{one} for one in sorted(set(labels))]


def test_rounds_without_a_number_give_no_interval() -> None:
    draws = np.zeros((5, 1), np.int64)
    assert measures.by_cluster([np.arange(4)], lambda _: math.nan, draws) == (None, None)
