"""A retry budget never gives more than it has, and never starves a quiet type."""

import math

from hypothesis import given
from hypothesis import strategies as st

from core.retry_budget import KEYS_MAX, BudgetRule, RetryBudget, RetryBudgets

EVENTS = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from(["success", "retry"]), st.integers(1, 40)), max_size=80
)
RULES = st.builds(
    BudgetRule,
    share=st.floats(0, 0.5),
    floor_per_s=st.floats(0.01, 20),
    burst=st.floats(1, 50),
    # Far beyond what these walks can owe: the exception is a test of its own.
    wait_max_s=st.just(1e9),
)


@given(EVENTS, RULES)
def test_retries_that_start_by_any_time_are_within_burst_floor_and_share(
    events: list[tuple[float, str, int]], rule: BudgetRule
) -> None:
    budget, now_s = RetryBudget(rule, 0.0), 0.0
    successes: list[tuple[float, int]] = []
    starts: list[float] = []
    for passed_s, what, count in events:
        now_s += passed_s
        if what == "success":
            budget.succeeded(count, now_s)
            successes.append((now_s, count))
        else:
            for _ in range(count):
                starts.append(now_s + budget.wait_s(now_s))
                budget.take(now_s)
    for at_s in starts:
        started = sum(one <= at_s for one in starts)
        succeeded = sum(count for done_s, count in successes if done_s <= at_s)
        allowed = rule.burst + rule.floor_per_s * at_s + rule.share * succeeded
        assert started <= allowed * (1 + 1e-9) + 1e-6


@given(st.integers(1, 2000), RULES, st.floats(0.1, 900))
def test_no_retry_waits_longer_than_the_longest_wait(
    retries: int, rule: BudgetRule, wait_max_s: float
) -> None:
    budget = RetryBudget(rule._replace(wait_max_s=wait_max_s), 0.0)
    waits: list[float] = []
    for _ in range(retries):
        waits.append(budget.wait_s(0.0))
        budget.take(0.0)
    assert all(0 <= wait_s <= wait_max_s for wait_s in waits)
    assert waits == sorted(waits)
    # What is owed is bounded too, so that a quiet time of that length pays it.
    assert budget.wait_s(wait_max_s + 1 / rule.floor_per_s + 1e-6) <= 1e-6


@given(st.lists(st.floats(1.0, 100.0), min_size=1, max_size=100), RULES)
def test_a_quiet_type_never_waits(gaps_s: list[float], rule: BudgetRule) -> None:
    rule = rule._replace(floor_per_s=max(1.0, rule.floor_per_s))
    budget, now_s = RetryBudget(rule, 0.0), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        assert budget.wait_s(now_s) == 0
        budget.take(now_s)


def test_a_retry_waits_for_the_poorest_of_its_buckets_and_is_counted_in_all() -> None:
    budgets = RetryBudgets(BudgetRule(floor_per_s=1.0, burst=2.0))
    assert [budgets.take(("a", "smtp"), 0.0) for _ in range(2)] == [0.0, 0.0]
    assert budgets.take(("b", "smtp"), 0.0) == 1.0
    assert budgets.take(("b",), 0.0) == 0.0
    budgets.succeeded(("smtp",), 30, 0.0)
    assert budgets.take(("c", "smtp"), 0.0) == 0.0


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    budgets = RetryBudgets(BudgetRule(floor_per_s=1e-9, burst=1.0, wait_max_s=9.0))
    budgets.take(("old",), 0.0)
    for number in range(KEYS_MAX):
        budgets.take((f"new {number}",), 0.0)
    assert budgets.take(("old",), 0.0) == 0.0
    assert budgets.take((f"new {KEYS_MAX - 1}",), 0.0) == 9.0


@given(st.floats(0.01, 1))
def test_handlers_have_the_budget_by_their_parts(part: float) -> None:
    whole = BudgetRule()
    mine = whole.of_part(part)
    assert math.isclose(mine.floor_per_s, whole.floor_per_s * part)
    assert mine.burst == max(1.0, whole.burst * part)
    assert mine.share == whole.share
