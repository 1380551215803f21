"""States and how far along its path each one is."""

import itertools

import pytest

from core.states import TERMINAL, State, progress_rank

OPEN_IN_ORDER = (
    State.ACCEPTED,
    State.WAITING,
    State.QUEUED,
    State.RUNNING,
    State.RETRYING,
    State.HELD,
)


def test_six_states_are_terminal_and_the_others_are_not() -> None:
    assert {state for state in State if state not in TERMINAL} == set(OPEN_IN_ORDER)
    assert len(TERMINAL) == 6


def test_states_are_lower_case_as_the_table_shows_them() -> None:
    assert all(state.value == state.name.lower() for state in State)


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise(OPEN_IN_ORDER)))
def test_a_dispatch_climbs_through_its_states(earlier: State, later: State) -> None:
    assert progress_rank(earlier, 1) < progress_rank(later, 1)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_terminal_state_is_above_every_open_state_of_its_dispatch(state: State) -> None:
    assert all(progress_rank(state, 3) > progress_rank(other, 3) for other in OPEN_IN_ORDER)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_later_dispatch_is_above_even_the_end_of_an_earlier_one(state: State) -> None:
    assert all(progress_rank(other, 4) > progress_rank(state, 3) for other in State)


def test_no_terminal_state_replaces_another_of_the_same_dispatch() -> None:
    assert len({progress_rank(state, 2) for state in TERMINAL}) == 1
