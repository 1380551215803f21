"""The worlds that policies are compared in: what goes wrong with a dependency, by name."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core.retry import draw_for
from core.retrying.world import Job, Phase, World

DAY_S = 86_400.0
DAYS = 4.0
TENANTS = 5
UNAVAILABLE, INVALID = "503", "invalid"
Phases = Callable[["Dice"], Iterator[Phase]]


@dataclass
class Dice:
    """Draws of a seed, one after the other."""

    name: str
    drawn: int = 0

    def draw(self) -> float:
        """Give the next, uniform in [0, 1)."""
        self.drawn += 1
        return draw_for(self.name, self.drawn)

    def exponential(self, mean: float) -> float:
        """Give one of an exponential distribution."""
        return -mean * math.log(1.0 - self.draw())

    def lognormal(self, median: float, sigma: float) -> float:
        """Give one of a lognormal distribution (Box and Muller, 1958)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.draw()))
        return median * math.exp(sigma * radius * math.cos(2.0 * math.pi * self.draw()))


@dataclass(frozen=True)
class Scenario:
    """What goes wrong.

    Attributes
    ----------
    words
        What it is, in a line.
    phases
        Health over time, for some dice.
    broken
        Share of jobs that never work.
    told_apart
        Share of those whose failures look different from the dependency's.
    blip_s
        How long a random error lasts at most.
    """

    words: str
    phases: Phases
    broken: float = 0.0
    told_apart: float = 0.8
    blip_s: float = 20.0

    def world(self, name: str, seed: int, jobs: int) -> World:
        """Make the world of a seed; equal arguments make equal worlds."""
        dice = Dice(f"{name}/{seed}")
        phases = tuple(self.phases(dice))
        times = sorted(dice.draw() * DAYS * DAY_S for _ in range(jobs))
        return World(seed, phases, tuple(self._job(dice, *one) for one in enumerate(times)), self.blip_s)

    def _job(self, dice: Dice, number: int, at_s: float) -> Job:
        is_broken = dice.draw() < self.broken
        signature = INVALID if is_broken and dice.draw() < self.told_apart else UNAVAILABLE
        return Job(number, at_s, is_broken, signature, f"t{int(dice.draw() * TENANTS)}")


def _steady(health: float) -> Phases:
    def phases(dice: Dice) -> Iterator[Phase]:
        del dice
        yield Phase(0.0, health)

    return phases


def _outages(gap_s: float, length_of: Callable[[Dice], float], health: float = 0.0) -> Phases:
    """Fall to a health now and then, for as long as is drawn."""

    def phases(dice: Dice) -> Iterator[Phase]:
        at_s = 0.0
        while at_s < (DAYS + 1) * DAY_S:
            yield Phase(at_s, 0.995)
            at_s += 600.0 + dice.exponential(gap_s)
            yield Phase(at_s, health)
            at_s += length_of(dice)
        yield Phase(at_s, 0.995)

    return phases


def _slow(gap_s: float, down_s: float, ramp_s: float) -> Phases:
    """Come back little by little."""

    def phases(dice: Dice) -> Iterator[Phase]:
        at_s = 0.0
        while at_s < (DAYS + 1) * DAY_S:
            yield Phase(at_s, 0.995)
            at_s += 600.0 + dice.exponential(gap_s)
            yield Phase(at_s, 0.0)
            at_s += dice.lognormal(down_s, 0.4)
            yield Phase(at_s, 0.0, 0.995)
            at_s += ramp_s
        yield Phase(at_s, 0.995)

    return phases


def _nights(begins_h: float, hours: float) -> Phases:
    """Be down at the same hours every day."""

    def phases(dice: Dice) -> Iterator[Phase]:
        del dice
        yield Phase(0.0, 0.995)
        for day in range(round(DAYS) + 2):
            yield Phase(day * DAY_S + begins_h * 3600, 0.0)
            yield Phase(day * DAY_S + (begins_h + hours) * 3600, 0.995)

    return phases


def _either(short_s: float, long_s: float) -> Callable[[Dice], float]:
    """Draw one of two kinds of length, most of the first."""
    return lambda dice: dice.lognormal(short_s, 0.3) if dice.draw() < 0.8 else dice.lognormal(long_s, 0.3)


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "blips": Scenario("one try in twenty-five fails, for seconds", _steady(0.96)),
        "scripted": Scenario("outages of ten minutes exactly", _outages(15_000.0, lambda _: 600.0)),
        "outages": Scenario(
            "outages of minutes to hours at random",
            _outages(20_000.0, lambda dice: dice.lognormal(900.0, 1.0)),
        ),
        "bimodal": Scenario(
            "restarts of a minute, failures of hours", _outages(20_000.0, _either(60.0, 9000.0))
        ),
        "nightly": Scenario("down from one to four every night", _nights(1.0, 3.0)),
        "brown-outs": Scenario(
            "two tries in three fail for an hour or so",
            _outages(30_000.0, lambda dice: dice.lognormal(3600.0, 0.5), health=0.33),
        ),
        "slow-recovery": Scenario("outages that end little by little", _slow(30_000.0, 900.0, 3600.0)),
        "permanent": Scenario(
            "one job in thirty is broken, among outages",
            _outages(30_000.0, lambda dice: dice.lognormal(600.0, 0.7)),
            broken=0.033,
        ),
    }
)
