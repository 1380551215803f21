"""The order as it is shipped, for one pool: all of it that decides who is next, in one value."""

import functools
from enum import StrEnum
from typing import NamedTuple

from core.learning.spread import STANDARD, Spread
from core.learning.starts import StartGuard
from core.priority import PriorityRule, scaled

STEPS_OF_TOP = 8.0
"""Neighbouring buckets are so many times the cost at the last bound apart: where a job of the dearest bucket
runs two hours, one of the bucket before it is served as if it had come more than half a day earlier.

The share for the oldest begins with whoever has waited so long. Sooner, it would spend a tenth of the slots
on the dearest jobs just while all others queue: most of them can run in the next trough as well."""
LONGEST_WAITS_OF_TOP = 11.0
"""So many times that cost the oldest job waits at most while others are preferred."""
OLDEST_SHARE = 0.1


class Order(StrEnum):
    """What jobs are ordered by."""

    LEARNED = "learned"
    """What was learned, as far as there is anything and models are not disabled."""
    RULE = "rule"


class OrderLaw(NamedTuple):
    """Weights of a score, the range of costs its buckets cover, and the guards."""

    rule: PriorityRule
    spread: Spread
    guard: StartGuard


@functools.lru_cache(maxsize=256)
def law_of(spread: Spread | None, rule: PriorityRule, oldest_share: float) -> OrderLaw:
    """Give the law of a pool; where its costs are not known the rule as it is set, on the standard scale."""
    if spread is None:
        return OrderLaw(rule, STANDARD, StartGuard(oldest_share))
    return law_for(spread, rule, oldest_share)


def law_for(spread: Spread, rule: PriorityRule, oldest_share: float = OLDEST_SHARE) -> OrderLaw:
    """Give the law of a pool with this range of costs.

    Head starts and the longest wait are measured by what its dearest jobs cost: seconds that suit jobs of
    minutes would serve jobs of days in order of arrival.
    """
    step_s = STEPS_OF_TOP * spread.top_s
    return OrderLaw(
        scaled(rule, step_s),
        spread,
        StartGuard(oldest_share, LONGEST_WAITS_OF_TOP * spread.top_s, patience_s=step_s),
    )
