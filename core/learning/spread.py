"""Where the eight buckets lie: over the costs a pool really has.

The bounds of ``core/buckets.py`` span 0.25 s to 4096 s. Where nearly all jobs take minutes, most buckets stay
empty, and what little order is left is coarse. A spread maps a pool's own range of costs onto that scale, on
the logarithm, so the same buckets, head starts and bounds order any range.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from core.buckets import BUCKET_BOUNDS_S, BUCKETS, REFERENCE_COST_S

LOW_SHARE = 0.5
HIGH_SHARE = 0.995
"""Quantiles of recent run times at the first and the last bound of a fitted spread. The dearest few per cent
of jobs are most of the work, so it is among the dearer half that order decides how long all others wait."""
TOP = 0.9
"""The last bound stands so far below its quantile: where a limit cuts runs off, those at it stand apart."""
LEAST_RATIO = 16.0
"""The bounds of a fitted spread are at least so far apart: among jobs that are all alike, order is noise."""

FITTED_MIN = 100
"""Fewer run times fit no spread."""
MOVED_BUCKETS = 0.5
"""An end of a spread has moved when it is off by more than so much of a bucket: less changes no order that
anybody would see, and jobs scored before and after a move stand on two scales while both are queued."""


class Spread(NamedTuple):
    """Costs between which buckets are spaced evenly on the logarithm, seconds."""

    low_s: float
    """Cost up to which a job goes to bucket 0."""
    high_s: float
    """Cost from which a job earns no head start."""

    @property
    def top_s(self) -> float:
        """Cost at the last bound: what is dearer stands in the last bucket, seconds."""
        return self.low_s * math.exp(math.log(self.high_s / self.low_s) * (BUCKETS - 2) / (BUCKETS - 1))


STANDARD = Spread(BUCKET_BOUNDS_S[0], REFERENCE_COST_S)
"""The scale of ``core/buckets.py`` itself: maps every cost to itself."""


def relative_cost_s(cost_s: float, spread: Spread) -> float:
    """Give the cost that lies on the standard scale where ``cost_s`` lies in the spread, seconds."""
    if spread == STANDARD:
        return cost_s
    place = math.log(max(cost_s, 1e-3) / spread.low_s) / math.log(spread.high_s / spread.low_s)
    # Beyond its ends a scale goes on, but not to where powers overflow.
    place = min(4.0, max(-4.0, place))
    return STANDARD.low_s * math.exp(place * math.log(STANDARD.high_s / STANDARD.low_s))


def fitted(run_times_s: Sequence[float]) -> Spread:
    """Fit a spread to recent run times, seconds; the standard one while there are too few."""
    if len(run_times_s) < FITTED_MIN:
        return STANDARD
    ordered = sorted(run_times_s)
    low_s = max(1e-3, ordered[int(LOW_SHARE * len(ordered))])
    ratio = max(TOP * ordered[int(HIGH_SHARE * len(ordered))] / low_s, LEAST_RATIO)
    # The last bound is one step short of the cost that earns no head start.
    return Spread(low_s, low_s * ratio ** ((BUCKETS - 1) / (BUCKETS - 2)))


def has_moved(before: Spread, now: Spread) -> bool:
    """Say whether a spread is so far from the one that stands that buckets should move."""
    step = math.log(before.high_s / before.low_s) / (BUCKETS - 1)
    off = max(abs(math.log(now.low_s / before.low_s)), abs(math.log(now.high_s / before.high_s)))
    return off > MOVED_BUCKETS * step
