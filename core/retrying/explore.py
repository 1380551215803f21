"""Which way of choosing delays is asked: mostly the best known, some always by the rule, few by draw.

The shares are fixed between two generations, so the chance of every arm is known when it is chosen: that is
what makes decisions worth logging. What is found out changes the shares only when a generation ends (Biswas
et al., Adyen, arXiv 2412.00569: policies that learn from themselves all the time can get worse). In each
generation only few arms are drawn, so that none is so rare that one decision would have to stand for many.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

CONTROL = "rule"
"""The rule of ``core.retry``, exponential backoff with full jitter: the arm all are compared with."""
CONTROL_SHARE = 0.1
"""Of failures always go by the rule: enough to see within a day whether what was learned is worse."""
EXPLORED_MIN, EXPLORED_MAX = 0.04, 0.05
"""Least and most of what may be drawn among other arms, unless nothing is: of two arms each has at least the
fiftieth part that ``core.retrying.off_policy.WEIGHT_MAX`` asks for."""
EXPLORABLE = f"it may be 0, or from {EXPLORED_MIN:g} to {EXPLORED_MAX:g}"
STRETCHED: Mapping[str, float] = {"quarter": 0.25, "fourfold": 4.0, "sixteenfold": 16.0}
"""Arms that wait as the rule does, so many times as long."""
PLANNED = "planned"
"""The dynamic program over what was seen of recoveries."""
ARMS = (CONTROL, *STRETCHED, PLANNED)
EFFECTIVE_MIN = 50.0
"""Effective decisions with a known end before an arm may win."""
GENERATION_ENDS = 2500
"""Decisions about a class whose jobs have ended, after which its winner is chosen anew: with 5 % explored
some sixty for each arm that is tried, above ``EFFECTIVE_MIN``."""
_MARGIN = 1e-12


class Chooser(StrEnum):
    """Who chooses how long a retry waits."""

    RULE = "rule"
    """Exponential backoff with full jitter, always."""
    LEARNED = "learned"
    """What was seen of failures, beside a share that goes by the rule and a few that are drawn."""


class Shares(NamedTuple):
    """How failures are shared out among arms in a generation.

    Attributes
    ----------
    explored
        Share that is drawn among ``tried``, each as likely: 0, or ``EXPLORED_MIN`` to ``EXPLORED_MAX``.
    tried
        Neither the winner nor the rule.
    """

    winner: str
    explored: float
    tried: tuple[str, ...]


def shares_of(generation: int, winner: str, explored: float) -> Shares:
    """Give the shares of a generation: the plan is always tried, of the others they take turns."""
    turns = tuple(STRETCHED)
    drawn = (PLANNED, turns[generation % len(turns)])
    return Shares(winner, explored, tuple(arm for arm in drawn if arm != winner))


def propensities(shares: Shares) -> dict[str, float]:
    """Give the chance of each arm that has one; they add up to 1, and the rule has at least its share.

    Raises
    ------
    ValueError
        The shares are none that ``shares_of`` gives for a share that may be explored.
    """
    if not is_explorable(shares.explored):
        raise ValueError(f"{shares.explored:g} of failures are to be explored: {EXPLORABLE}")
    if shares.winner not in ARMS:
        raise ValueError(f"{shares.winner!r} is no arm; known are {', '.join(ARMS)}")
    explored = shares.explored if shares.tried else 0.0
    found = {CONTROL: CONTROL_SHARE}
    found[shares.winner] = found.get(shares.winner, 0.0) + 1.0 - CONTROL_SHARE - explored
    if explored:
        found |= dict.fromkeys(shares.tried, explored / len(shares.tried))
    return found


def is_explorable(explored: float) -> bool:
    """Whether this share may be explored."""
    return explored == 0 or EXPLORED_MIN <= explored <= EXPLORED_MAX


def arm_of(chances: Mapping[str, float], draw: float) -> str:
    """Choose an arm by a draw in [0, 1)."""
    below = 0.0
    for arm, chance in chances.items():
        below += chance
        if draw < below:
            return arm
    # The chances add up to 1 as far as sums of floating-point numbers do.
    return arm


def arm_draw(origin: str, n: int) -> float:
    """Give the draw of one dispatch among arms, in [0, 1); another than that of its delay."""
    digest = hashlib.blake2b(f"{origin}/{n}".encode(), digest_size=8, person=b"arm").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


@dataclass(slots=True)
class Tally:
    """Costs of the decisions of one arm, each standing for ``1 / propensity``."""

    weight: float = 0.0
    squares: float = 0.0
    cost: float = 0.0
    cost_squares: float = 0.0

    def add(self, cost: float, propensity: float) -> None:
        """Take in one decision whose job has ended."""
        weight = 1.0 / propensity
        self.weight += weight
        self.squares += weight * weight
        self.cost += weight * cost
        self.cost_squares += weight * cost * cost

    def halve(self) -> None:
        """Let everything so far count for half as many decisions."""
        self.weight, self.squares = self.weight / 2, self.squares / 2
        self.cost, self.cost_squares = self.cost / 2, self.cost_squares / 2

    @property
    def effective(self) -> float:
        """So many decisions of equal weight would tell as much."""
        return self.weight**2 / self.squares if self.squares else 0.0

    @property
    def mean(self) -> float:
        """Mean cost a decision."""
        return self.cost / self.weight if self.weight else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        variance = self.cost_squares / self.weight - self.mean**2 if self.weight else 0.0
        return sqrt(max(0.0, variance) / self.effective) if self.effective else 0.0


def winner_of(tallies: Mapping[str, Tally], draws: Mapping[str, float]) -> str:
    """Choose the arm that is used most in the next generation, by Thompson sampling.

    Of every arm with enough evidence a mean is drawn from what is believed of it (normal, by the central
    limit theorem), and the cheapest wins: arms that may well be the best get their turn as often as they
    may be (Thompson 1933). Without evidence of its own the rule wins.

    Parameters
    ----------
    draws
        Uniform in [0, 1), one an arm.
    """
    sampled = {
        arm: tally.mean + tally.error * NormalDist().inv_cdf(min(max(draws[arm], _MARGIN), 1 - _MARGIN))
        for arm, tally in tallies.items()
        if tally.effective >= EFFECTIVE_MIN
    }
    if CONTROL not in sampled:
        return CONTROL
    return min(sampled, key=lambda arm: (sampled[arm], arm != CONTROL))
