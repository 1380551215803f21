"""Whether the order a model gives is at least as good as that of the running mean, by what has ended.

Two jobs are in order when the one predicted shorter ran shorter: the pairs Kendall's tau counts ("A new
measure of rank correlation", Biometrika 30, 1938), over neighbours in time and decayed, so that a model that
turns bad is noticed within tens of completions.
"""

from collections import deque
from typing import NamedTuple

NEIGHBOURS = 8
"""Completions each new one is compared with; more would repeat what is known and cost time."""
HALF_LIFE = 250.0
"""In completions. A reversed model falls below the margin within 20; the noise of the difference stays half
of it."""
PROVEN_AFTER = 500
"""A model orders nothing before so many completions have been compared."""
MARGIN = 0.02
"""A model loses trust when its tau falls so far below the running mean's..."""
REGAIN = 0.0
"""...and has it once more when it is no worse."""


class Seen(NamedTuple):
    """A completion and what was expected of it, each on any rising scale, the first two on the same.

    The scale of what orders: where that is buckets, buckets. A model that tells jobs apart and puts all of
    them into one bucket orders nothing.
    """

    by_model: float
    by_mean: float
    run: float


class Trust:
    """Follows completions; a model begins untrusted, and shows itself beside the running mean first."""

    def __init__(self) -> None:
        self._near: deque[Seen] = deque(maxlen=NEIGHBOURS)
        self._pairs = 0.0
        self._by_model = 0.0
        self._by_mean = 0.0
        self._compared = 0
        self._is_trusted = False

    @property
    def is_trusted(self) -> bool:
        """Whether the model's order is to be used; else the running mean's."""
        return self._is_trusted

    @property
    def compared(self) -> int:
        """Completions seen since it began."""
        return self._compared

    @property
    def lead(self) -> float:
        """The model's tau less the running mean's; 0 while nothing was compared."""
        return (self._by_model - self._by_mean) / self._pairs if self._pairs else 0.0

    def saw(self, seen: Seen) -> None:
        """Take in a completion."""
        keep = 0.5 ** (1 / HALF_LIFE)
        self._pairs *= keep
        self._by_model *= keep
        self._by_mean *= keep
        for other in self._near:
            ran = _sign(seen.run - other.run)
            if ran:
                self._pairs += 1
                self._by_model += ran * _sign(seen.by_model - other.by_model)
                self._by_mean += ran * _sign(seen.by_mean - other.by_mean)
        self._near.append(seen)
        self._compared += 1
        if self._is_trusted:
            self._is_trusted = self.lead >= -MARGIN
        else:
            self._is_trusted = self._compared >= PROVEN_AFTER and self.lead >= REGAIN


class Trusts:
    """The trust in each of the models whose predictions came lately, the last ``KEPT`` of them."""

    KEPT = 8

    def __init__(self) -> None:
        self._by_model: dict[str, Trust] = {}

    def of(self, model: str) -> Trust:
        """Give the trust in a model; new ones begin untrusted."""
        trust = self._by_model.get(model)
        if trust is None:
            trust = self._by_model[model] = Trust()
            for oldest in list(self._by_model)[: -self.KEPT]:
                del self._by_model[oldest]
        return trust


def _sign(value: float) -> int:
    # What is not a number is in no order with anything.
    return (value > 0) - (value < 0)
