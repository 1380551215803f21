"""Whether to try once more at all, where a try costs what it runs and cannot wait for better times.

Some failures are retried at once or never: the question is then not when but whether. A try is worth it when
what it may gain is more than what it may waste (the cost-sensitive threshold of Elkan, "The foundations of
cost-sensitive learning", IJCAI 2001). Rates of success move from hour to hour, so a threshold on a
probability does not carry over: the ratio of costs does, on probabilities that are recalibrated as tries end.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

KEEP = 0.995
"""Of a shift a try: what is not confirmed is forgotten over some two hundred tries."""
RATE = 0.05
"""Log odds a try moves a shift by for an error of one."""
SHIFT_MAX = 2.0
"""Log odds a correction may move: beyond, a model that is that wrong should not be asked at all."""
LEAST_P = 1e-6


@dataclass(frozen=True, slots=True)
class StopCosts:
    """What is paid, in seconds of a machine.

    Attributes
    ----------
    lost_s
        For stopping what would have worked.
    try_s
        For starting a try that fails, beside what it runs.
    """

    lost_s: float
    try_s: float


class Worth(NamedTuple):
    """Both sides of the question, in seconds of a machine."""

    gain_s: float
    waste_s: float

    @property
    def stops(self) -> bool:
        """Tell whether trying once more wastes more than it gains."""
        return self.gain_s < self.waste_s


def worth(p_success: float, run_s: float, costs: StopCosts) -> Worth:
    """Weigh one more try.

    Parameters
    ----------
    p_success
        Calibrated chance that it works.
    run_s
        How long it runs if it fails: the mean of the job's failed tries.
    """
    return Worth(p_success * costs.lost_s, (1 - p_success) * (costs.try_s + run_s))


@dataclass(slots=True)
class Recalibration:
    """Moves probabilities to the share that worked lately: a fold of tries whose probability was said.

    A gradient step of the log loss on a shift of log odds a try, with a leak towards no shift.
    """

    shift: float = 0.0

    def of(self, p: float) -> float:
        """Give a probability as it is to be used."""
        return _chance(_odds(p) + self.shift)

    def add(self, p: float, *, worked: bool) -> None:
        """Take in how a try went of which ``p`` was said, before any correction."""
        moved = KEEP * self.shift + RATE * (float(worked) - self.of(p))
        self.shift = max(-SHIFT_MAX, min(SHIFT_MAX, moved))


def _odds(p: float) -> float:
    kept = min(max(p, LEAST_P), 1 - LEAST_P)
    return math.log(kept / (1 - kept))


def _chance(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
