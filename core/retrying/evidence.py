"""What arms have cost by class of failure: told from logged decisions, and carried by models."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple

from core.retrying.explore import GENERATION_ENDS, Tally

Evidence = Mapping[str, Mapping[str, Tally]]
"""Tallies by class of failure and arm."""
CLASSES_MAX, ARMS_MAX = 32, 32
"""More than there are, and more than a version that knows others could have."""
_SLACK = 1 + 1e-9
_UNDERFLOW = sys.float_info.min
"""Sums of floating-point numbers keep to inequalities no better; squares of the smallest lose all digits."""


class Settled(NamedTuple):
    """A decision to retry whose job has ended.

    Attributes
    ----------
    propensity
        Chance of the arm when it was chosen, in (0, 1].
    cost_s
        All that came after it, as in ``core.retrying.off_policy``.
    """

    error_class: str
    arm: str
    propensity: float
    cost_s: float


def evidence_of(settled: Iterable[Settled]) -> dict[str, dict[str, Tally]]:
    """Give what one memory would know that had seen all of these.

    Parameters
    ----------
    settled
        The oldest first: what a generation ago was known counts for half.
    """
    found: dict[str, dict[str, Tally]] = {}
    ends: Counter[str] = Counter()
    for one in settled:
        tallies = found.setdefault(one.error_class, {})
        if ends[one.error_class] == GENERATION_ENDS:
            ends[one.error_class] = 0
            for tally in tallies.values():
                tally.halve()
        ends[one.error_class] += 1
        tallies.setdefault(one.arm, Tally()).add(one.cost_s, one.propensity)
    return found


def problem_of(evidence: Evidence) -> str | None:
    """Say why nobody can have seen this; None: somebody can."""
    if len(evidence) > CLASSES_MAX or any(len(tallies) > ARMS_MAX for tallies in evidence.values()):
        return "it speaks of more classes of failures or arms than there are"
    for error_class, tallies in evidence.items():
        for arm, tally in tallies.items():
            if not _is_possible(tally):
                return f"what {arm!r} cost after {error_class!r} cannot be the sum of any decisions"
    return None


def _is_possible(tally: Tally) -> bool:
    numbers = (tally.weight, tally.squares, tally.cost, tally.cost_squares)
    if not all(isfinite(number) and number >= 0 for number in numbers):
        return False
    # Sums of squares, as Cauchy and Schwarz have them; a weight is at least 1, and halved ever after.
    return (
        (tally.weight > 0) == (tally.squares > 0)
        and tally.squares <= tally.weight * tally.weight * _SLACK
        and tally.cost * tally.cost <= tally.weight * tally.cost_squares * _SLACK + _UNDERFLOW
    )
