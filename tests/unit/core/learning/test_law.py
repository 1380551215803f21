"""The law of a pool: measured by what its jobs cost."""

import pytest

from core.buckets import head_start_step_s
from core.learning.law import LONGEST_WAITS_OF_TOP, STEPS_OF_TOP, law_for, law_of
from core.learning.spread import Spread
from core.learning.starts import StartGuard
from core.priority import PriorityRule


def test_steps_and_the_longest_wait_are_multiples_of_the_cost_at_the_last_bound() -> None:
    spread = Spread(10.0, 10.0 * 4**7)
    assert spread.top_s == pytest.approx(10.0 * 4**6)
    law = law_for(spread, PriorityRule(), oldest_share=0.2)
    assert head_start_step_s(law.rule.per_decade_s) == pytest.approx(STEPS_OF_TOP * spread.top_s)
    assert law.guard.max_wait_s == pytest.approx(LONGEST_WAITS_OF_TOP * spread.top_s)
    assert law.guard.oldest_share == 0.2
    # The share begins before the longest wait does.
    assert law.guard.patience_s == pytest.approx(STEPS_OF_TOP * spread.top_s)
    assert law.guard.patience_s < law.guard.max_wait_s


def test_a_pool_without_a_law_gives_its_share_to_the_oldest_at_once() -> None:
    guard = law_of(None, PriorityRule(), 0.1).guard
    assert guard == StartGuard(0.1)
    assert guard.patience_s == 0


def test_what_is_worth_a_bucket_under_the_rule_is_worth_one_under_the_law() -> None:
    rule = PriorityRule()
    law = law_for(Spread(100.0, 100.0 * 4**7), rule)
    steps = [head_start_step_s(one.per_decade_s) for one in (rule, law.rule)]
    assert law.rule.per_level_s / steps[1] == pytest.approx(rule.per_level_s / steps[0])
    assert law.rule.deadline_s / steps[1] == pytest.approx(rule.deadline_s / steps[0])
    assert law.rule.deadline_window_s == rule.deadline_window_s
    assert law.rule.max_s >= 7 * steps[1]
