"""What is asked about a failed try, and what is answered: the terms every way of choosing delays shares.

Whoever retries (a replay, the simulator, a service) fills a ``Moment`` when a try has failed and asks an
``Arm``; the ``Choice`` says try, hold or stop. An arm has no state and no dice: what it learned stands in
the object it was made with, and equal moments and draws give equal choices.
"""

from dataclasses import dataclass
from enum import Enum
from math import ceil, inf
from typing import NamedTuple, Protocol

from core.retrying.bins import TICK_S, Floats, Vector


class Act(Enum):
    """What to do with a job whose try failed."""

    TRY = "try"
    """Once more, after the delay."""
    HOLD = "hold"
    """Keep it without trying until something else shows that what failed works again."""
    STOP = "stop"
    """It is dead."""


class Subject(NamedTuple):
    """What failed, from the narrowest to the widest key; empty texts are not known."""

    tenant: str = ""
    type: str = ""
    signature: str = ""
    """Class and template of the error, or the dependency that failed: what makes failures alike."""


UNKNOWN = Subject()


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known when a try has failed.

    Attributes
    ----------
    age_s
        Of the episode: since its first failure until now, >= 0.
    failures
        Of this job in this episode, the newest included, >= 1.
    tries_left
        Tries that are still allowed, >= 0.
    latest_s
        Longest delay that a deadline allows, seconds from now; infinite without one.
    now_s
        Seconds since 1970.
    features
        (n_features,) float32 in the order of ``core.retrying.features.FEATURES``; None where nobody
        computed them, and then a learned arm answers as history does.
    """

    age_s: float
    failures: int
    tries_left: int
    latest_s: float = inf
    now_s: float = 0.0
    subject: Subject = UNKNOWN
    features: Vector | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do next, and why.

    Attributes
    ----------
    delay_s
        For TRY: seconds from now, a multiple of the wheel's tick; else 0.
    window_s
        The shortest and the longest delay that would have done as well; ``delay_s`` was drawn between.
    p_success
        Probability that this try works; None where the arm does not know any.
    expected_cost
        Of everything from here on under this choice, in the unit of ``Costs``; None where not known.
    stop_cost, hold_cost
        Of stopping now, and of holding; None where not known or not offered.
    """

    act: Act
    delay_s: float = 0.0
    window_s: tuple[float, float] = (0.0, 0.0)
    p_success: float | None = None
    expected_cost: float | None = None
    stop_cost: float | None = None
    hold_cost: float | None = None


class Arm(Protocol):
    """A way of choosing delays."""

    @property
    def name(self) -> str:
        """A few words: it stands in records and reports."""
        ...

    def choose(self, moment: Moment, draw: float) -> Choice:
        """Say what to do next.

        Parameters
        ----------
        draw
            Uniform in [0, 1): the caller's dice.
        """
        ...


class Hazards(Protocol):
    """Who knows how likely recovery is."""

    def hazards(self, moment: Moment) -> Floats:
        """Give the hazard of each bin of age of the episode, (n_bins,) in [0, 1]."""
        ...


def snapped(delay_s: float) -> float:
    """Give the delay the wheel makes of one: a multiple of its tick, never shorter, at least one."""
    # A product of a tick and a whole number is a whole number of ticks again, whatever it was computed as.
    return max(1, ceil(delay_s / TICK_S - 1e-9)) * TICK_S
