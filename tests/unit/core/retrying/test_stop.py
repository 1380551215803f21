import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.retrying.stop import SHIFT_MAX, Recalibration, StopCosts, worth

COSTS = StopCosts(lost_s=10_000.0, try_s=60.0)
chances = st.floats(0.0, 1.0)


def test_a_dear_try_needs_a_better_chance_than_a_cheap_one() -> None:
    assert not worth(0.05, run_s=10.0, costs=COSTS).stops
    assert worth(0.05, run_s=20_000.0, costs=COSTS).stops


@given(chances, chances, st.floats(0.0, 1e5), st.floats(0.0, 1e6))
def test_a_better_chance_never_stops_what_a_worse_one_tries(
    one: float, other: float, run_s: float, lost_s: float
) -> None:
    low, high = sorted((one, other))
    costs = StopCosts(lost_s, 60.0)
    if worth(high, run_s, costs).stops:
        assert worth(low, run_s, costs).stops


def test_probabilities_move_to_the_share_that_works() -> None:
    state = Recalibration()
    for number in range(400):
        state.add(0.1, worked=number % 2 == 0)
    assert state.of(0.1) == pytest.approx(0.35, abs=0.1)


def test_what_is_calibrated_stays_as_it_is() -> None:
    state = Recalibration()
    for number in range(1000):
        state.add(0.25, worked=number % 4 == 0)
    assert state.of(0.25) == pytest.approx(0.25, abs=0.03)


@given(st.lists(st.tuples(chances, st.booleans()), max_size=200), chances, chances)
def test_a_correction_keeps_the_order_and_is_bounded(
    seen: list[tuple[float, bool]], one: float, other: float
) -> None:
    state = Recalibration()
    for p, worked in seen:
        state.add(p, worked=worked)
    low, high = sorted((one, other))
    assert 0.0 < state.of(low) <= state.of(high) < 1.0
    assert abs(state.shift) <= SHIFT_MAX
