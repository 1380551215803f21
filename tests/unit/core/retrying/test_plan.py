import numpy as np
import pytest

from core.retrying.bins import BINS, EDGES_S, bin_of
from core.retrying.choice import Act, Moment
from core.retrying.plan import Costs, planned
from core.retrying.survival import success_chance, surviving

COSTS = Costs(wasted_try=300.0, delay_per_s=1.0, abandoned=21_600.0)
FIRST = Moment(age_s=0.0, failures=1, tries_left=8)


def test_a_recovery_at_a_known_age_is_tried_right_after_it() -> None:
    hazards = np.zeros(BINS)
    hazards[bin_of(600.0)] = 1.0
    choice = planned(hazards, FIRST, COSTS, 0.5)
    assert choice.act is Act.TRY
    assert EDGES_S[bin_of(600.0)] < choice.delay_s <= EDGES_S[bin_of(600.0) + 1] * 1.2
    assert choice.p_success is not None
    assert choice.p_success > 0.5


def test_what_never_recovers_is_not_tried() -> None:
    choice = planned(np.zeros(BINS), FIRST, COSTS, 0.5)
    assert choice.act is Act.STOP
    assert choice.expected_cost == 0.0


def test_nothing_is_tried_when_a_deadline_is_closer_than_a_tick() -> None:
    late = Moment(age_s=10.0, failures=1, tries_left=3, latest_s=0.1)
    assert planned(np.full(BINS, 0.5), late, COSTS, 0.5).act is Act.STOP


def test_an_episode_beyond_the_horizon_is_planned_as_one_that_nears_it() -> None:
    old = Moment(age_s=10 * EDGES_S[-1], failures=4, tries_left=3)
    near = Moment(age_s=float(EDGES_S[-2]), failures=4, tries_left=3)
    hazards = np.full(BINS, 0.3)
    assert planned(hazards, old, COSTS, 0.5) == planned(hazards, near, COSTS, 0.5)


def test_draws_spread_tries_over_a_window_in_which_hazards_are_flat() -> None:
    hazards = np.full(BINS, 0.03)
    delays = {planned(hazards, FIRST, COSTS, draw).delay_s for draw in (0.0, 0.3, 0.6, 0.99)}
    assert len(delays) == 4
    assert max(delays) > 1.2 * min(delays)


def test_a_cost_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="wasted_try is nan"):
        Costs(float("nan"), 1.0, 1.0)
    with pytest.raises(ValueError, match="abandoned is -1"):
        Costs(1.0, 1.0, -1.0)


def test_hazards_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        planned(np.zeros(3), FIRST, COSTS, 0.5)


def test_survival_falls_at_a_constant_rate_within_a_bin() -> None:
    hazards = np.zeros(BINS)
    hazards[50] = 0.75
    middle = (EDGES_S[50] + EDGES_S[51]) / 2
    assert surviving(hazards, np.array([EDGES_S[50], middle, EDGES_S[51], 1e9])) == pytest.approx(
        [1.0, 0.5, 0.25, 0.25]
    )
    assert success_chance(hazards, middle, EDGES_S[51] - middle) == pytest.approx(0.5)
