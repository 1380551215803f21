"""What may be diverted: within its budget, worth its cost, and drawn alike by whoever draws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.preemption import (
    BURST_DISPATCHES,
    KEYS_MAX,
    DivertBudget,
    Foreseen,
    Mode,
    PreemptRule,
    Way,
    draw_for,
    hold_is_over,
    is_worth_it,
    way_of,
    wilson,
)

probabilities = st.floats(0, 1)
shares = st.sampled_from([0.0, 0.001, 0.02, 0.05, 0.3, 1.0])
seconds = st.floats(0, 1e6)
rules = st.builds(PreemptRule, seconds, shares, shares)


def foreseen(probability: float = 0.95, run_s: float = 100.0, recent: float | None = None) -> Foreseen:
    return Foreseen("m", probability, 0.9, run_s, recent, 0.1)


@given(shares, st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=400))
def test_no_more_than_its_share_of_a_key_is_ever_diverted(share: float, seen: list[tuple[str, bool]]) -> None:
    budget, dispatches, diverted = DivertBudget(share), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for key, wanted in seen:
        budget.saw(key)
        dispatches[key] += 1
        if wanted and budget.has_room(key):
            budget.divert(key)
            diverted[key] += 1
        assert diverted[key] <= share * dispatches[key] + 1e-6


@given(st.sampled_from([0.01, 0.05, 0.5]))
def test_all_of_the_share_can_be_used_and_no_more_is_saved_up_than_a_burst(share: float) -> None:
    budget = DivertBudget(share)
    for _ in range(10 * BURST_DISPATCHES):
        budget.saw("a")
    diverted = 0
    while budget.has_room("a"):
        budget.divert("a")
        diverted += 1
    assert diverted == round(share * BURST_DISPATCHES)
    for number in range(1, 1001):
        budget.saw("a")
        if budget.has_room("a"):
            budget.divert("a")
            diverted += 1
        assert diverted <= share * (BURST_DISPATCHES + number) + 1e-6
    assert diverted == pytest.approx(2 * share * BURST_DISPATCHES, abs=1)


def test_keys_nobody_sees_any_more_are_forgotten() -> None:
    budget = DivertBudget(1.0)
    for number in range(KEYS_MAX + 1):
        budget.saw(str(number))
    assert not budget.has_room("0")
    assert budget.has_room("1")


@given(probabilities, seconds, rules, st.floats(0, 1, exclude_max=True), st.booleans(), st.sampled_from(Mode))
def test_only_what_is_worth_it_allowed_and_not_drawn_is_diverted(
    probability: float, run_s: float, rule: PreemptRule, draw: float, has_room: bool, mode: Mode
) -> None:
    way = way_of(foreseen(probability, run_s), mode, rule, draw, has_room=has_room)
    is_dear = is_worth_it(probability, run_s, rule)
    assert (way is Way.CHEAP) == (not is_dear)
    assert (way is Way.DIVERTED) == (is_dear and mode is Mode.ON and has_room and draw >= rule.anyway_share)
    if way is Way.SAMPLED:
        assert draw < rule.anyway_share, "whether there is room has no part in who is drawn"


@given(st.sampled_from([0.6, 0.9, 0.99]), st.sampled_from([1.0, 60.0]), st.floats(0.01, 1e4))
def test_it_is_worth_it_where_failing_runs_cost_more_than_good_jobs(
    probability: float, good_job_s: float, run_s: float
) -> None:
    rule = PreemptRule(good_job_s=good_job_s)
    break_even_s = (1 - probability) / probability * good_job_s
    assert is_worth_it(probability, break_even_s * 1.01, rule)
    assert not is_worth_it(probability, break_even_s * 0.99, rule)
    assert not is_worth_it(0.0, run_s, rule)
    assert is_worth_it(1.0, run_s, rule)


def test_draws_are_even_and_always_the_same() -> None:
    draws = [draw_for(f"e:0:{offset}", 1) for offset in range(5000)]
    assert draws == [draw_for(f"e:0:{offset}", 1) for offset in range(5000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert sum(draw < 0.02 for draw in draws) / len(draws) == pytest.approx(0.02, abs=0.006)


@given(st.floats(0, 1) | st.none(), st.floats(0, 1) | st.none(), st.integers(0, 2000))
def test_a_hold_ends_in_time_whatever_is_known(recent: float | None, now: float | None, at_ms: int) -> None:
    why = hold_is_over(foreseen(recent=recent), now, at_ms, 1000)
    if at_ms >= 1000:
        assert why is not None
    elif recent is None or now is None:
        assert why is None
    else:
        assert (why is not None) == (now <= recent / 2)


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_its_share_and_narrows(hits: int, misses: int) -> None:
    of = hits + misses
    low, high = wilson(hits, of)
    assert 0 <= low <= high <= 1
    if of:
        assert low - 1e-9 <= hits / of <= high + 1e-9
        more = wilson(4 * hits, 4 * of)
        assert more[1] - more[0] < high - low


def test_an_interval_is_as_published() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998: 15 of 148.
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
