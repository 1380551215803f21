"""The ways of choosing delays that are compared, and shipped."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from core.retrying.choice import Act, Choice, Hazards, Moment, snapped
from core.retrying.plan import Costs, planned

_DOUBLINGS_MAX = 60
STOPPED = Choice(Act.STOP)


class Spread(Enum):
    """How a draw moves the wait of a backoff."""

    NONE = auto()
    FULL = auto()
    """Uniform below the window ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015)."""
    EQUAL = auto()
    """Uniform in the upper half of the window."""


@dataclass(frozen=True, slots=True)
class Never:
    """Retries nothing."""

    name: str = "none"

    def choose(self, moment: Moment, draw: float) -> Choice:
        """See ``core.retrying.choice.Arm``."""
        del moment, draw
        return STOPPED


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow from failure to failure.

    Attributes
    ----------
    base_s, cap_s
        First window, and the longest, seconds.
    tries
        Tries after the first failure; then it stops. Never more than are left.
    growth
        Of the window a failure; 1 makes it fixed.
    """

    name: str
    base_s: float
    cap_s: float
    tries: int
    growth: float = 2.0
    spread: Spread = Spread.NONE

    def choose(self, moment: Moment, draw: float) -> Choice:
        """See ``core.retrying.choice.Arm``."""
        if moment.failures > self.tries or moment.tries_left < 1:
            return STOPPED
        window_s = min(self.cap_s, self.base_s * self.growth ** min(moment.failures - 1, _DOUBLINGS_MAX))
        low_s = {Spread.NONE: window_s, Spread.FULL: 0.0, Spread.EQUAL: window_s / 2}[self.spread]
        return _within(moment, low_s + draw * (window_s - low_s), (low_s, window_s))


@dataclass(frozen=True, slots=True)
class Planned:
    """The dynamic program over the hazards of somebody who estimates some."""

    name: str
    of: Hazards
    costs: Costs

    def choose(self, moment: Moment, draw: float) -> Choice:
        """See ``core.retrying.choice.Arm``."""
        return planned(self.of.hazards(moment), moment, self.costs.cautious(), draw)


@dataclass(frozen=True, slots=True)
class Oracle:
    """Knows when a try will work; what no arm can do better.

    Attributes
    ----------
    works_at
        Gives seconds since 1970 from which the job of a moment succeeds; None: never.
    """

    works_at: Callable[[Moment], float | None]
    name: str = "oracle"

    def choose(self, moment: Moment, draw: float) -> Choice:
        """See ``core.retrying.choice.Arm``."""
        del draw
        at_s = self.works_at(moment)
        if at_s is None or moment.tries_left < 1:
            return STOPPED
        delay_s = max(0.0, at_s - moment.now_s)
        return _within(moment, delay_s, (delay_s, delay_s))


def _within(moment: Moment, delay_s: float, window_s: tuple[float, float]) -> Choice:
    """Try after a delay, if a deadline allows it."""
    delay_s = snapped(delay_s)
    return Choice(Act.TRY, delay_s, window_s) if delay_s <= moment.latest_s else STOPPED
