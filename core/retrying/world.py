"""A made-up dependency and the jobs that need it: what a simulation of retries happens in.

Nothing in a world depends on who retries: whether a try works at a time is said by the world alone, so all
arms face the same one, and what an oracle knows is well defined.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from core.retry import draw_for
from core.retrying.bins import HORIZON_S
from core.retrying.choice import Subject

TYPE = "call"


class Phase(NamedTuple):
    """A stretch of time in which the dependency is as healthy as this: the share of tries that work."""

    begins_s: float
    health: float
    health_after: float | None = None
    """At the end of the phase, if it changes evenly until then; else it stays as it is."""


class Job(NamedTuple):
    """One job, first tried at a time."""

    number: int
    at_s: float
    is_broken: bool
    """It never works, whatever the dependency does."""
    signature: str
    """Of its failures."""
    tenant: str


class FirstFailure(NamedTuple):
    """A job that failed when it was first tried."""

    job: Job
    episode_began_s: float
    """First failure of anybody since the last success of anybody, as first tries show."""


@dataclass(frozen=True)
class World:
    """A dependency over time, and its jobs.

    Attributes
    ----------
    phases
        In order of time, the first at 0.
    jobs
        In order of time.
    blip_s
        A random error lasts until the next multiple of this: within one, a job meets the same fate.
    """

    seed: int
    phases: tuple[Phase, ...]
    jobs: tuple[Job, ...]
    blip_s: float

    def health(self, at_s: float) -> float:
        """Give the share of tries that work at a time, in [0, 1]."""
        place = bisect_right(self._begins_s, at_s) - 1
        phase = self.phases[place]
        if phase.health_after is None or place + 1 == len(self.phases):
            return phase.health
        passed = (at_s - phase.begins_s) / (self.phases[place + 1].begins_s - phase.begins_s)
        return phase.health + passed * (phase.health_after - phase.health)

    def works(self, job: Job, at_s: float) -> bool:
        """Tell whether a try of the job works at a time."""
        if job.is_broken:
            return False
        blip = int(at_s // self.blip_s)
        return draw_for(f"{self.seed}/{job.number}", blip) < self.health(at_s)

    def works_from(self, first: FirstFailure) -> float | None:
        """Give the first time after a failure at which a try works; None: not within the horizon."""
        number = first.job.number
        if number not in self._works_from:
            self._works_from[number] = self._found_from(first.job)
        return self._works_from[number]

    @cached_property
    def first_failures(self) -> tuple[FirstFailure, ...]:
        """The jobs whose first try fails, in order of time."""
        found: list[FirstFailure] = []
        began_s: float | None = None
        for job in self.jobs:
            if job.is_broken:
                # It fails beside the others, not with them.
                found.append(FirstFailure(job, job.at_s))
            elif self.works(job, job.at_s):
                began_s = None
            else:
                began_s = job.at_s if began_s is None else began_s
                found.append(FirstFailure(job, began_s))
        return tuple(found)

    def subject(self, job: Job) -> Subject:
        """Give what is known of a job's failures."""
        return Subject(job.tenant, TYPE, job.signature)

    def _found_from(self, job: Job) -> float | None:
        at_s = job.at_s
        while not job.is_broken and at_s <= job.at_s + HORIZON_S:
            if self.works(job, at_s):
                return at_s
            at_s = self._next(at_s)
        return None

    @cached_property
    def _works_from(self) -> dict[int, float | None]:
        return {}

    @cached_property
    def _begins_s(self) -> list[float]:
        return [phase.begins_s for phase in self.phases]

    def _next(self, at_s: float) -> float:
        """Give the next time at which the fate of a job can change."""
        place = bisect_right(self._begins_s, at_s)
        blip_s = (at_s // self.blip_s + 1) * self.blip_s
        phase = self.phases[place - 1]
        if place < len(self.phases):
            # While nothing works, nothing changes before the phase does.
            is_down = phase.health == 0 and not phase.health_after
            return self._begins_s[place] if is_down else min(blip_s, self._begins_s[place])
        return blip_s
