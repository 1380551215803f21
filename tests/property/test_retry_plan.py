"""The laws of planned delays: no schedule costs less, and none breaks a bound."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.retrying.bins import BINS, EDGES_S, HORIZON_S, TICK_S, Floats
from core.retrying.choice import Act, Moment
from core.retrying.plan import JITTER_SHARE, Costs, planned
from core.retrying.survival import surviving

hazards = st.lists(st.floats(0.0, 0.6), min_size=BINS, max_size=BINS).map(np.array)
costs = st.builds(Costs, st.floats(0.0, 500.0), st.floats(0.0, 3.0), st.floats(0.0, 30_000.0))
draws = st.floats(0.0, 1.0, exclude_max=True)
moments = st.builds(
    Moment,
    age_s=st.floats(0.0, 2 * HORIZON_S),
    failures=st.integers(1, 30),
    tries_left=st.integers(0, 30),
    latest_s=st.one_of(st.just(float("inf")), st.floats(0.0, 2 * HORIZON_S)),
)


def _cost_of(
    schedule: tuple[float, ...], recovery_s: Floats, chance: Floats, never: float, of: Costs
) -> float:
    """Give the expected cost of trying at some ages, added up over when the episode may recover."""
    total = never * of.wasted_try * len(schedule)
    for at_s, p in zip(recovery_s, chance, strict=True):
        wasted = sum(1 for age_s in schedule if age_s < at_s)
        later = [age_s for age_s in schedule if age_s >= at_s]
        total += p * (
            of.wasted_try * wasted + (of.delay_per_s * (later[0] - at_s) if later else of.abandoned)
        )
    return total


def _ages(age_s: float, last_s: float) -> list[float]:
    """Give the ages at which something may be tried."""
    first_s = age_s + TICK_S
    return [first_s, *(float(edge_s) for edge_s in EDGES_S if first_s < edge_s < last_s), last_s]


def _recoveries(found: Floats, age_s: float, ages: list[float]) -> tuple[Floats, Floats, float]:
    """Give when it may recover, how likely each is, and how likely it does not."""
    edges = np.array([age_s, *ages])
    on = surviving(found, edges)
    on /= on[0]
    return (edges[1:] + edges[:-1]) / 2, on[:-1] - on[1:], float(on[-1])


def _cheapest(found: Floats, moment: Moment, of: Costs) -> float:
    ages = _ages(moment.age_s, moment.age_s + moment.latest_s)
    recovery_s, chance, never = _recoveries(found, moment.age_s, ages)
    return min(
        _cost_of(schedule, recovery_s, chance, never, of)
        for tries in range(moment.tries_left + 1)
        for schedule in combinations(ages, tries)
    )


@given(hazards, st.floats(0.0, 5.0), st.floats(0.3, 4.0), st.integers(0, 3), costs)
def test_no_schedule_within_the_tries_costs_less(
    found: Floats, age_s: float, latest_s: float, tries_left: int, of: Costs
) -> None:
    # A deadline close by leaves few enough schedules to try them all.
    moment = Moment(age_s, 1, tries_left, latest_s)
    choice = planned(found, moment, of, 0.5)
    assert choice.expected_cost is not None
    assert np.isclose(choice.expected_cost, _cheapest(found, moment, of), rtol=1e-9, atol=1e-9)


@given(hazards, moments, costs, draws)
def test_a_try_is_within_its_deadline_its_tries_and_its_window(
    found: Floats, moment: Moment, of: Costs, draw: float
) -> None:
    choice = planned(found, moment, of, draw)
    if choice.act is not Act.TRY:
        assert choice.act is Act.STOP
        assert choice.delay_s == 0.0
        return
    assert moment.tries_left > 0
    assert TICK_S <= choice.delay_s <= moment.latest_s
    assert (choice.delay_s / TICK_S).is_integer()
    assert choice.window_s[0] - TICK_S <= choice.delay_s <= choice.window_s[1] + TICK_S
    assert choice.p_success is not None
    assert 0.0 <= choice.p_success <= 1.0


@given(
    hazards, moments, costs, st.sampled_from(["wasted_try", "delay_per_s", "abandoned"]), st.floats(1.0, 5.0)
)
def test_nothing_gets_cheaper_when_a_cost_grows(
    found: Floats, moment: Moment, of: Costs, name: str, factor: float
) -> None:
    by_name = {"wasted_try": of.wasted_try, "delay_per_s": of.delay_per_s, "abandoned": of.abandoned}
    dearer = Costs(**(by_name | {name: by_name[name] * factor}))
    one, other = planned(found, moment, of, 0.5), planned(found, moment, dearer, 0.5)
    assert one.expected_cost is not None
    assert other.expected_cost is not None
    assert other.expected_cost >= one.expected_cost * (1 - 1e-9) - 1e-9
    if name == "abandoned" and one.act is Act.TRY:
        assert other.act is Act.TRY
    if name != "abandoned" and one.act is Act.STOP:
        assert other.act is Act.STOP


@given(hazards, moments, costs)
def test_one_try_more_never_costs_more(found: Floats, moment: Moment, of: Costs) -> None:
    more = Moment(moment.age_s, moment.failures, moment.tries_left + 1, moment.latest_s)
    one, other = planned(found, moment, of, 0.5), planned(found, more, of, 0.5)
    assert one.expected_cost is not None
    assert other.expected_cost is not None
    assert other.expected_cost <= one.expected_cost * (1 + 1e-9) + 1e-9


@given(hazards, st.floats(0.0, HORIZON_S / 2), costs)
def test_the_edges_of_a_window_cost_no_more_than_the_jitter_that_is_allowed(
    found: Floats, age_s: float, of: Costs
) -> None:
    choice = planned(found, Moment(age_s, 1, 1), of, 0.5)
    if choice.act is not Act.TRY:
        return
    assert choice.expected_cost is not None
    recovery_s, chance, never = _recoveries(found, age_s, _ages(age_s, HORIZON_S))
    for delay_s in choice.window_s:
        cost = _cost_of((age_s + delay_s * (1 + 1e-12),), recovery_s, chance, never, of)
        assert cost <= choice.expected_cost * (1 + JITTER_SHARE) + 1e-6


@given(hazards, moments, costs, st.floats(0.0, 1e6))
def test_a_hold_is_chosen_where_it_costs_least(
    found: Floats, moment: Moment, of: Costs, hold_s: float
) -> None:
    without = planned(found, moment, of, 0.5)
    held = planned(found, moment, Costs(of.wasted_try, of.delay_per_s, of.abandoned, hold_s), 0.5)
    assert held.hold_cost is not None
    assert without.expected_cost is not None
    assert held.expected_cost == min(held.hold_cost, without.expected_cost)
    assert (held.act is Act.HOLD) == (held.hold_cost < without.expected_cost)
