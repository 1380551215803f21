"""The rule score: how many seconds of head start a job gets, and why.

A score is seconds: a job is served as if it had become ready that much earlier. So it can be
overtaken only by jobs that became ready later by less than the difference in head start, and
waiting is bounded without ageing. Before there is a model, and whenever there is none, this holds.
"""

import math
from typing import NamedTuple

from core.buckets import BUCKETS, REFERENCE_COST_S, bucket_of, head_start_step_s
from core.learning.spread import STANDARD, Spread, relative_cost_s
from core.urgency import Urgency

DEFAULT_PRIORITY = 5


class PriorityRule(NamedTuple):
    """The rule's weights, all in seconds.

    ``per_decade_s``: head start per factor ten of predicted cost below ``REFERENCE_COST_S``.
    ``per_level_s``: per level of ``priority`` above 5 (a delay below 5).
    ``deadline_s``: given in full once no slack is left, and in proportion over ``deadline_window_s``
    before that; all of ``max_s`` once the slack is less than what the job may well take. ``share_s``: taken
    away per doubling of a tenant's share of recent work over an equal one. ``max_s`` bounds the sum, and with
    it how long anybody can be overtaken.
    """

    per_decade_s: float = 1200.0
    per_level_s: float = 600.0
    deadline_s: float = 3600.0
    deadline_window_s: float = 3600.0
    max_s: float = 7200.0
    share_s: float = 300.0


RISK_MAX = 10.0
"""A dispatch that is likely to fail counts as dearer, so many times at most."""
SHARE_MAX_DOUBLINGS = 3.0
"""More than eight times an equal share costs a tenant's jobs no more than eight times."""


class Score(NamedTuple):
    """Head start in seconds, 0 to ``max_s``, and the parts it is the bounded sum of."""

    head_start_s: float
    parts: dict[str, float]


def score(
    *,
    predicted_run_s: float,
    high_run_s: float | None = None,
    failed: float = 0.0,
    excess: float = 1.0,
    own: Urgency,
    inherited: Urgency | None = None,
    now_ms: int,
    rule: PriorityRule,
    spread: Spread = STANDARD,
) -> Score:
    """Score one job.

    Parameters
    ----------
    predicted_run_s
        Expected run time, > 0.
    high_run_s
        Run time that nine of ten such dispatches stay under; None: not known.
    failed
        Probability that the dispatch fails, in [0, 1]. What it costs then is spent for nothing, so it is
        served as one that costs ``1 / (1 - failed)`` as much.
    excess
        Share of recent work of the job's tenant, in units of an equal share.
    own
        Its priority, and when it should be done.
    inherited
        Urgency of what waits for it; what it gives beyond its own is a part of the score.
    now_ms
        When it became ready (broker time, ms since 1970).
    spread
        The range of costs over which buckets are spaced.
    """
    cost_s = relative_cost_s(predicted_run_s, spread)

    def deadline_s(urgency: Urgency) -> float:
        return _deadline_s(urgency.deadline_ms, now_ms, predicted_run_s, rule)

    parts = {
        "cost": rule.per_decade_s * math.log10(REFERENCE_COST_S / max(cost_s, 1e-3)),
        "urgency": rule.per_level_s * (own.priority - DEFAULT_PRIORITY),
    }
    if own.deadline_ms is not None:
        parts["deadline"] = deadline_s(own)
    if failed > 0:
        risky_s = relative_cost_s(predicted_run_s / max(1 - failed, 1 / RISK_MAX), spread)
        parts["risk"] = rule.per_decade_s * math.log10(max(cost_s, 1e-3) / max(risky_s, 1e-3))
    if excess > 1:
        parts["share"] = -rule.share_s * min(SHARE_MAX_DOUBLINGS, math.log2(excess))
    gained = None if inherited is None else own.gains(inherited)
    if gained is not None:
        levels = gained.priority - own.priority
        parts["inherited"] = rule.per_level_s * levels + deadline_s(gained) - deadline_s(own)
    by_ms = own.joined(inherited or own).deadline_ms
    if by_ms is not None and high_run_s is not None and now_ms < by_ms <= now_ms + high_run_s * 1000:
        # Begun any later it would well be late.
        parts["last_call"] = max(0.0, rule.max_s - sum(parts.values()))
    total_s = min(rule.max_s, max(0.0, sum(parts.values())))
    return Score(round(total_s, 3), {name: round(value, 3) for name, value in parts.items()})


def _deadline_s(deadline_ms: int | None, now_ms: int, predicted_run_s: float, rule: PriorityRule) -> float:
    if deadline_ms is None:
        return 0.0
    slack_s = (deadline_ms - now_ms) / 1000 - predicted_run_s
    return rule.deadline_s * min(1.0, max(0.0, 1.0 - slack_s / rule.deadline_window_s))


def cost_bucket(run_s: float, rule: PriorityRule, spread: Spread) -> int:
    """Give the bucket of a job by its predicted run time alone, seconds; the last when that is no number."""
    if math.isnan(run_s):
        return BUCKETS - 1
    cost_s = max(relative_cost_s(run_s, spread), 1e-3)
    return bucket_of(rule.per_decade_s * math.log10(REFERENCE_COST_S / cost_s), rule.per_decade_s)


def scaled(rule: PriorityRule, step_s: float) -> PriorityRule:
    """Stretch a rule until neighbouring buckets are ``step_s`` apart; what is worth one stays worth one."""
    factor = step_s / head_start_step_s(rule.per_decade_s)
    return rule._replace(
        per_decade_s=rule.per_decade_s * factor,
        per_level_s=rule.per_level_s * factor,
        deadline_s=rule.deadline_s * factor,
        max_s=max(rule.max_s * factor, (BUCKETS - 1) * step_s),
        share_s=rule.share_s * factor,
    )
