"""Wrong models are as wrong as buckets let them be."""

import numpy as np

from benchmarks.learning.order import reversed_in
from core.buckets import BUCKETS
from core.learning.law import law_for
from core.learning.spread import Spread
from core.priority import PriorityRule, cost_bucket


def test_a_reversed_model_puts_the_cheapest_into_the_last_bucket_and_the_dearest_into_the_first() -> None:
    spread = Spread(100.0, 100.0 * 2.0**7)
    law = law_for(spread, PriorityRule())
    # Midway between the bounds of the buckets.
    costs_s = np.array([100.0 * 2.0 ** (bucket - 0.5) for bucket in range(BUCKETS)])
    buckets = [cost_bucket(cost_s, law.rule, spread) for cost_s in costs_s]
    wrong = [cost_bucket(cost_s, law.rule, spread) for cost_s in reversed_in(spread, costs_s)]
    assert buckets == list(range(BUCKETS))
    assert wrong == buckets[::-1]
