"""Ask an arm how long to wait after a failure, and say with which chance it was asked."""

from core.retry import ClosedDispatch, RetryPolicy, draw_for, failure_delay_s
from core.retrying.asked import Asked
from core.retrying.bins import Floats
from core.retrying.choice import Act, Moment
from core.retrying.explore import CONTROL, PLANNED, STRETCHED, Shares, arm_draw, arm_of, propensities
from core.retrying.off_policy import ABANDONED_S, WASTED_TRY_S
from core.retrying.plan import Costs, planned

LEARNED, EXPLORED = "learned", "explored"
"""Names of the policy where the winner was asked, and where another arm was drawn; else it is the rule's."""
COSTS = Costs(wasted_try=WASTED_TRY_S, delay_per_s=1.0, abandoned=ABANDONED_S).cautious()
"""Seconds: a try that fails is five minutes' delay, a job that is given up six hours'; as in the replay."""
LONGEST_S = 21_600.0
"""No arm waits longer, seconds."""


def ask(
    closed: ClosedDispatch,
    policy: RetryPolicy,
    moment: Moment,
    shares: Shares,
    hazards: Floats,
    dispatch: tuple[str, int],
) -> Asked:
    """Ask the arm that the draw of this dispatch falls on.

    An arm only moves the delay: whether a job is tried again at all is said by the rule. A plan that would
    stop or hold waits as the rule does, and so does every arm where a dependency said when to come back: it
    knows better. No arm waits past a deadline that the rule would meet.

    Parameters
    ----------
    hazards
        (n_bins,) by age of the episode: what the plan is made by.
    dispatch
        Origin and number of what failed: what the draws are seeded by.
    """
    chances = propensities(shares)
    arm, draw = arm_of(chances, arm_draw(*dispatch)), draw_for(*dispatch)
    rule_s = failure_delay_s(closed, policy, draw)
    is_told = (closed.retry_after_s or 0.0) > 0
    delay_s = rule_s if is_told else _delay_s(arm, rule_s, moment, hazards, draw)
    longest_s = max(rule_s, min(LONGEST_S, moment.latest_s))
    name = CONTROL if arm == CONTROL else LEARNED if arm == shares.winner else EXPLORED
    return Asked(arm, name, chances[arm], min(delay_s, longest_s))


def _delay_s(arm: str, rule_s: float, moment: Moment, hazards: Floats, draw: float) -> float:
    if arm in STRETCHED:
        return rule_s * STRETCHED[arm]
    if arm != PLANNED:
        return rule_s
    choice = planned(hazards, moment, COSTS, draw)
    return choice.delay_s if choice.act is Act.TRY else rule_s
