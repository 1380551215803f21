"""What a hand-over of the prioritizer scores by, without anything learned."""

from typing import cast

from core.learning.law import OLDEST_SHARE, OrderLaw, law_of
from core.learning.trust import Trusts
from core.learning.vector_budget import VectorBudget
from core.priority import PriorityRule
from core.run_times import RunTimes
from ports.feature_view import FeatureView
from ports.meter import Meter
from services.prioritizer.expect import Expecter


def rule_alone(meter: Meter) -> Expecter:
    """Expect what the rule expects before anything has ended."""
    return Expecter(
        view=cast("FeatureView", None),
        models=None,
        run_times=RunTimes(),
        trusts=Trusts(),
        budget=VectorBudget(0),
        meter=meter,
    )


def standard_law(_pool: str) -> OrderLaw:
    """Give the law of a pool whose costs nobody knows."""
    return law_of(None, PriorityRule(), OLDEST_SHARE)
