"""Lets arms retry in a world, and adds up what it cost.

Events in order of time; a try takes no time of its own, and tries do not hinder each other (what many
retries do to a dependency is bounded outside any policy).
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple

import numpy as np

from core.retry import draw_for
from core.retrying.bins import HORIZON_S, Vector
from core.retrying.choice import Act, Arm, Moment
from core.retrying.features import Failure, features
from core.retrying.history import Seen
from core.retrying.plan import Costs
from core.retrying.standing import Standings, Tried
from core.retrying.world import FirstFailure, World

TRIES_MAX = 16
"""Retries of a job."""
LAB_COSTS = Costs(wasted_try=60.0, delay_per_s=1.0, abandoned=21_600.0)
"""In seconds of delay: a wasted try costs a minute, an abandoned job six hours."""


class Outcome(NamedTuple):
    """What became of one job."""

    first: FirstFailure
    tries: int
    works_from_s: float | None
    """First time after its failure at which a try would have worked."""
    recovered_s: float | None
    """When one did."""
    failing_s: float
    """When the last try failed."""

    @property
    def seen(self) -> Seen:
        """What a history learns of it."""
        began_s = self.first.episode_began_s
        return Seen(
            self.failing_s - began_s,
            None if self.recovered_s is None else self.recovered_s - began_s,
            self.first.job.at_s - began_s,
        )

    def cost(self, costs: Costs) -> float:
        """Give what was paid."""
        if self.recovered_s is None:
            lost = costs.abandoned if self.works_from_s is not None else 0.0
            return costs.wasted_try * self.tries + lost
        late_s = self.recovered_s - (self.works_from_s or self.recovered_s)
        return costs.wasted_try * (self.tries - 1) + costs.delay_per_s * late_s


class Asked(NamedTuple):
    """A moment in which an arm was asked, and the job it was about."""

    number: int
    moment: Moment


@dataclass
class Simulation:
    """One arm in one world.

    Attributes
    ----------
    with_features
        Moments carry features: it takes ten times as long, and only what is learned looks at them.
    asked
        Every moment, in order of time, where features are wanted.
    """

    world: World
    arm: Arm
    with_features: bool = False
    asked: list[Asked] = field(default_factory=list)
    _standings: Standings = field(default_factory=Standings)
    _failing_s: dict[int, float] = field(default_factory=dict)

    def run(self) -> list[Outcome]:
        """Give what became of every job whose first try failed, in order of its end."""
        return list(self._ends())

    def _ends(self) -> Iterator[Outcome]:
        due: list[tuple[float, int, int, FirstFailure]] = [
            (first.job.at_s, first.job.number, 0, first) for first in self.world.first_failures
        ]
        failed = {first.job.number for *_, first in due}
        others = iter([job for job in self.world.jobs if job.number not in failed])
        heapq.heapify(due)
        waiting = next(others, None)
        while due:
            at_s, number, tries, first = heapq.heappop(due)
            while self.with_features and waiting is not None and waiting.at_s < at_s:
                self._tell(first, waiting.tenant, Tried(waiting.at_s, worked=True, is_retry=False))
                waiting = next(others, None)
            works = tries > 0 and self.world.works(first.job, at_s)
            next_s = None if works else self._next(first, at_s, tries)
            if self.with_features:
                self._tell(first, first.job.tenant, Tried(at_s, worked=works, is_retry=tries > 0))
            if next_s is not None:
                heapq.heappush(due, (next_s, number, tries + 1, first))
                continue
            works_from_s = self.world.works_from(first)
            failing_s = self._failing_s[number] if works else at_s
            yield Outcome(first, tries, works_from_s, at_s if works else None, failing_s)

    def _tell(self, first: FirstFailure, tenant: str, tried: Tried) -> None:
        subject = self.world.subject(first.job)._replace(tenant=tenant)
        self._standings.add(subject._replace(signature="") if tried.worked else subject, tried)

    def _next(self, first: FirstFailure, at_s: float, tries: int) -> float | None:
        """Ask the arm when to try again; None: it stops."""
        self._failing_s[first.job.number] = at_s
        age_s = at_s - first.episode_began_s
        subject = self.world.subject(first.job)
        moment = Moment(
            age_s,
            tries + 1,
            TRIES_MAX - tries,
            HORIZON_S - (at_s - first.job.at_s),
            at_s,
            subject,
            self._features(first, at_s, tries) if self.with_features else None,
        )
        if self.with_features:
            self.asked.append(Asked(first.job.number, moment))
        choice = self.arm.choose(
            moment, draw_for(f"{self.arm.name}/{self.world.seed}/{first.job.number}", tries)
        )
        return at_s + choice.delay_s if choice.act is Act.TRY else None

    def _features(self, first: FirstFailure, at_s: float, tries: int) -> Vector:
        facts = Failure(tries + 1, tries + 1, at_s - first.episode_began_s, at_s, nan, nan, nan)
        return features(facts, self._standings.of(self.world.subject(first.job)))


class Score(NamedTuple):
    """What an arm reached, over all failing jobs."""

    jobs: int
    cost: float
    """A job."""
    recovered: float
    """Share of those that could."""
    tries: float
    """A job."""
    wasted: float
    """Tries that failed, a job."""
    recover_p50_s: float
    recover_p90_s: float
    """Time from the first failure to success, of what recovered; NaN where nothing did."""


def scored(outcomes: Sequence[Outcome], costs: Costs = LAB_COSTS) -> Score:
    """Sum up."""
    recovered = [one for one in outcomes if one.recovered_s is not None]
    could = sum(one.works_from_s is not None for one in outcomes)
    took_s = [(one.recovered_s or 0.0) - one.first.job.at_s for one in recovered] or [nan]
    count = max(1, len(outcomes))
    tries = sum(one.tries for one in outcomes)
    return Score(
        jobs=len(outcomes),
        cost=sum(one.cost(costs) for one in outcomes) / count,
        recovered=len(recovered) / max(1, could),
        tries=tries / count,
        wasted=(tries - len(recovered)) / count,
        recover_p50_s=float(np.percentile(took_s, 50)),
        recover_p90_s=float(np.percentile(took_s, 90)),
    )
