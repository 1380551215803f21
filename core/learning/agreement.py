"""Whether a model's predictions contradict the running mean's, seen as jobs are scored.

Trust (``core/learning/trust.py``) waits for ends, and what a model that turns round has put first are the
dearest jobs: the first of them end hours later, while cheap ones queue. A model that is any good agrees with
the running mean on most pairs of jobs, or, where the mean knows nothing, on half of them. So one that
contradicts it on most is noticed within tens of arrivals, before anything ends.
"""

from collections import deque

NEIGHBOURS = 8
"""Dispatches each new one is compared with."""
HALF_LIFE = 25.0
"""In dispatches. A good model of three recorded days had a value of .87 mostly, and never below .34; one that
turns round is below the bound within twice so many."""
CONTRADICTION = -0.4
"""Value below which a model contradicts the mean: five deviations below what a mean that is all noise gives,
as where run times depend on what no history knows and a model does."""
LEAST_PAIRS = 150.0
"""Fewer pairs are no evidence: a few contradictions among the first jobs are chance."""
ENOUGH = 100
"""Of more dispatches at once the last are looked at: what came before them weighs a sixteenth by then."""


class Agreement:
    """Follows what a model and the running mean predict of the same dispatches, on any rising scales."""

    def __init__(self) -> None:
        self._near: deque[tuple[float, float]] = deque(maxlen=NEIGHBOURS)
        self._pairs = 0.0
        self._agreeing = 0.0

    @property
    def value(self) -> float:
        """Pairs in the same order less those in the other, as a share, in [-1, 1]; 0 while there are none."""
        return self._agreeing / self._pairs if self._pairs else 0.0

    @property
    def contradicts(self) -> bool:
        """Whether the model mostly orders the other way round."""
        return self._pairs >= LEAST_PAIRS and self.value < CONTRADICTION

    def saw(self, by_model: float, by_mean: float) -> None:
        """Take in a dispatch; what is not a number is in no order with anything."""
        keep = 0.5 ** (1 / HALF_LIFE)
        self._pairs *= keep
        self._agreeing *= keep
        for model, mean in self._near:
            same = ((by_model > model) - (by_model < model)) * ((by_mean > mean) - (by_mean < mean))
            if same:
                self._pairs += 1
                self._agreeing += same
        self._near.append((by_model, by_mean))
