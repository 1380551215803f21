"""What another way of choosing delays would have cost, told from the decisions of the one that was used.

A logged decision stands for ``1 / propensity`` of its kind. With ``w`` the chance of its arm under the
policy that is judged, over its propensity, and ``c`` its cost::

    IPS   = mean(w c)                                        unbiased; as wide as the weights
    SNIPS = sum(w c) / sum(w)                                a little biased, much narrower
    DR    = mean(q(x, target) + w (c - q(x, arm)))           unbiased if propensities *or* q are right

(Horvitz and Thompson 1952; Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual
Learning", 2015; Dudik, Langford and Li, "Doubly Robust Policy Evaluation and Learning", 2011.) ``q`` is the
mean cost of an arm in a stratum, fitted on the other half of the decisions, so that no decision predicts
itself.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import NamedTuple

ESS_MIN = 200.0
"""Effective decisions below which nothing is said: the interval would be wider than any difference here."""
WEIGHT_MAX = 50.0
"""One decision must not stand for more: with the exploration that is shipped none does."""
WASTED_TRY_S = 300.0
"""What a try that fails costs, as seconds of delay: as in the replay of recorded episodes."""
ABANDONED_S = 21_600.0
"""What a job costs that is given up, likewise."""
SHRUNK_BY = 5.0
"""Decisions by which the mean of a stratum believes itself as much as the mean of the arm."""


class Logged(NamedTuple):
    """One decision with its outcome."""

    arm: str
    propensity: float
    """Chance of the arm when it was chosen, in (0, 1]."""
    cost: float
    stratum: Hashable = ""
    """What makes decisions alike, for the model of costs: the class of the failure, say."""
    half: bool = False
    """Which of two halves it is in; all decisions about one job in the same."""


Target = Callable[[Logged, str], float]
"""The policy that is judged: the chance of an arm where this decision was made."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean cost a decision, and what it rests on."""

    ips: float
    snips: float
    doubly_robust: float
    error: float
    """Standard error of the doubly robust estimate."""
    decisions: int
    effective: float
    """(sum w)^2 / sum(w^2): so many decisions of its own would tell as much."""
    heaviest: float
    """Largest weight."""
    refusal: str | None
    """Why there is no verdict; None: there may be one."""


def always(arm: str) -> Target:
    """Give the policy that always asks one arm."""
    return lambda _, asked: 1.0 if asked == arm else 0.0


def estimate(logged: Sequence[Logged], target: Target) -> Estimate:
    """Estimate the mean cost of a policy from decisions of another.

    Raises
    ------
    ValueError
        A propensity is not in (0, 1] or a cost is not finite: the log is broken, no estimate could be right.
    """
    for one in logged:
        if not 0 < one.propensity <= 1:
            raise ValueError(f"a propensity is {one.propensity}, not in (0, 1]: leave such decisions out")
        if not isfinite(one.cost):
            raise ValueError(f"a cost is {one.cost}: leave decisions without an outcome out")
    count = len(logged)
    weights = [target(one, one.arm) / one.propensity for one in logged]
    total, squares = sum(weights), sum(weight * weight for weight in weights)
    effective, heaviest = (total * total / squares if squares else 0.0), max(weights, default=0.0)
    weighted = sum(weight * one.cost for weight, one in zip(weights, logged, strict=True))
    terms = _doubly_robust(logged, weights, target)
    mean = sum(terms) / max(1, count)
    spread = sum((term - mean) ** 2 for term in terms) / max(1, count - 1)
    return Estimate(
        ips=weighted / max(1, count),
        snips=weighted / total if total else 0.0,
        doubly_robust=mean,
        error=sqrt(spread / max(1, count)),
        decisions=count,
        effective=effective,
        heaviest=heaviest,
        refusal=_refusal(effective, heaviest),
    )


def _refusal(effective: float, heaviest: float) -> str | None:
    if effective < ESS_MIN:
        return f"they tell as much as {effective:.0f} decisions of its own, {ESS_MIN:.0f} are needed"
    if heaviest > WEIGHT_MAX:
        return f"one decision would stand for {heaviest:.0f}, more than {WEIGHT_MAX:.0f}"
    return None


def _doubly_robust(logged: Sequence[Logged], weights: Sequence[float], target: Target) -> list[float]:
    arms = sorted({one.arm for one in logged})
    models = {half: _Costs(one for one in logged if one.half != half) for half in (False, True)}
    terms = []
    for one, weight in zip(logged, weights, strict=True):
        model = models[one.half]
        expected = sum(target(one, arm) * model.of(one.stratum, arm) for arm in arms)
        terms.append(expected + weight * (one.cost - model.of(one.stratum, one.arm)))
    return terms


class _Costs:
    """Mean costs of arms by stratum, drawn to the mean of the arm, and that to the mean of all."""

    def __init__(self, logged: Iterable[Logged]) -> None:
        self._sums: defaultdict[Hashable, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for one in logged:
            for key in ((one.stratum, one.arm), (one.arm,), ()):
                self._sums[key][0] += 1
                self._sums[key][1] += one.cost

    def of(self, stratum: Hashable, arm: str) -> float:
        mean = 0.0
        for key in ((), (arm,), (stratum, arm)):
            count, total = self._sums.get(key, (0.0, 0.0))
            mean = (total + SHRUNK_BY * mean) / (count + SHRUNK_BY) if key or not count else total / count
        return mean
