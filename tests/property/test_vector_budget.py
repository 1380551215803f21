"""Which vectors are logged: all while there are few, about so many when there are more, always the same."""

from hypothesis import given
from hypothesis import strategies as st

from core.learning.vector_budget import VectorBudget, is_in_share

NOW_MS = 10**12


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=40), st.integers(1, 500))
def test_about_the_budget_is_logged_however_dispatches_come(batches: list[int], per_s: int) -> None:
    budget, logged, jobs = VectorBudget(per_s), 0.0, 0
    for number, batch in enumerate(batches):
        share = budget.share(batch, NOW_MS + number)
        logged += share * batch
        jobs += batch
        assert 0 <= share <= 1
    assert logged <= jobs
    if jobs <= per_s:
        assert logged == jobs
    # Batch by batch the share of what was seen so far: a harmonic sum at most.
    assert logged <= per_s * (2 + len(batches))


def test_from_the_second_second_on_the_share_is_known_from_the_first() -> None:
    budget = VectorBudget(100)
    for tick in range(3000):
        share = budget.share(1, NOW_MS + tick)
    assert share == 0.1
    assert VectorBudget(0).share(1, NOW_MS) == 0.0


@given(st.integers(0, 10**6), st.integers(1, 9), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_all_of_a_smaller_one(place: int, n: int, one: float, other: float) -> None:
    less, more = sorted((one, other))
    origin = f"0123abcd:3:{place}"
    assert not is_in_share(origin, n, less) or is_in_share(origin, n, more)
    assert is_in_share(origin, n, 1.0)
    assert not is_in_share(origin, n, 0.0)


def test_a_share_is_a_fair_part_of_all_names() -> None:
    found = sum(is_in_share(f"0123abcd:{p}:{offset}", 1, 0.25) for p in range(4) for offset in range(5000))
    assert abs(found / 20_000 - 0.25) < 0.02
