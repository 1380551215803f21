"""The rule score: how many seconds of head start a job gets, and why.

A score is seconds: a job is served as if it had become ready that much earlier. So it can be
overtaken only by jobs that became ready later by less than the difference in head start, and
waiting is bounded without ageing. Before there is a model, and whenever there is none, this holds.
"""

import math
from typing import NamedTuple

from core.buckets import REFERENCE_COST_S

DEFAULT_PRIORITY = 5


class PriorityRule(NamedTuple):
    """The rule's weights, all in seconds.

    ``per_decade_s``: head start per factor ten of predicted cost below ``REFERENCE_COST_S``.
    ``per_level_s``: per level of ``priority`` above 5 (a delay below 5).
    ``deadline_s``: given in full once no slack is left, and in proportion over ``deadline_window_s``
    before that. ``max_s`` bounds the sum, and with it how long anybody can be overtaken.
    """

    per_decade_s: float = 1200.0
    per_level_s: float = 600.0
    deadline_s: float = 3600.0
    deadline_window_s: float = 3600.0
    max_s: float = 7200.0


class Score(NamedTuple):
    """Head start in seconds, 0 to ``max_s``, and the parts it is the bounded sum of."""

    head_start_s: float
    parts: dict[str, float]


def score(
    *, predicted_run_s: float, priority: int, deadline_ms: int | None, now_ms: int, rule: PriorityRule
) -> Score:
    """Score one job.

    Parameters
    ----------
    predicted_run_s
        Expected run time, > 0.
    deadline_ms
        When it should be done (broker time, ms since 1970); None for no deadline.
    now_ms
        When it became ready (broker time, ms since 1970).
    """
    parts = {
        "cost": rule.per_decade_s * math.log10(REFERENCE_COST_S / max(predicted_run_s, 1e-3)),
        "urgency": rule.per_level_s * (priority - DEFAULT_PRIORITY),
    }
    if deadline_ms is not None:
        slack_s = (deadline_ms - now_ms) / 1000 - predicted_run_s
        share = 1.0 - slack_s / rule.deadline_window_s
        parts["deadline"] = rule.deadline_s * min(1.0, max(0.0, share))
    total_s = min(rule.max_s, max(0.0, sum(parts.values())))
    return Score(round(total_s, 3), {name: round(value, 3) for name, value in parts.items()})
