"""Compares policies in the worlds of a scenario; those that learn or are tuned do so in other worlds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.retrying.arms import Backoff, Never, Oracle, Planned, Spread
from core.retrying.bins import Floats
from core.retrying.choice import Arm, Moment
from core.retrying.history import History
from core.retrying.plan import Costs
from core.retrying.scenarios import SCENARIOS
from core.retrying.simulation import LAB_COSTS, Outcome, Score, Simulation, scored
from core.retrying.tuning import tuned
from core.retrying.world import World

TRAINING_WORLDS, APART_WORLDS = 3, 2
"""What is tuned and trained in, and what decides whether the model is used; neither is judged."""
WATCHING = Backoff("watching", 2.0, 3600.0, 16, spread=Spread.FULL)
"""How jobs were retried while there was nothing to learn from: exponential backoff with full jitter."""
EXPONENTIAL = Backoff("exponential, full jitter", 1.0, 300.0, 16, spread=Spread.FULL)
FIXED = Backoff("fixed 60 s", 60.0, 60.0, 16)
ERRORS = 3.0
"""Standard errors by which a model must cost less than the tuned backoff in worlds apart to be used. Not two:
jobs that fail in one outage are not independent, so the error is larger than it looks."""
TUNED, GLOBAL, HAZARD, LEARNED = "tuned exponential", "global survival", "learned hazard", "learned"
Learner = Callable[[Sequence[World], History], Arm]
"""Makes an arm of worlds to learn in, and of the history of the same."""


class Judged(NamedTuple):
    """One arm in the judged world."""

    score: Score
    is_what: str
    """What the arm is, where its name does not say."""


@dataclass(frozen=True)
class Comparison:
    """All arms in one scenario."""

    scenario: str
    words: str
    seed: int
    jobs: int
    by_arm: Mapping[str, Judged]

    @property
    def learned_of_tuned(self) -> float:
        """Cost of what is shipped as a share of that of the tuned backoff."""
        return self.by_arm[LEARNED].score.cost / max(1e-9, self.by_arm[TUNED].score.cost)


def compared(name: str, seed: int, jobs: int, learner: Learner, costs: Costs = LAB_COSTS) -> Comparison:
    """Tune and learn in worlds of other seeds, then judge every arm in the world of this one.

    Parameters
    ----------
    jobs
        Of a world; a few in a hundred fail.
    learner
        Trains the hazard. Its arm is used where it costs less than the tuned backoff in worlds that neither
        has seen, else the backoff is: a winner is frozen before it decides alone.
    """
    scenario = SCENARIOS[name]
    # Negative seeds are never judged.
    training = [
        scenario.world(name, -(seed * 100 + place) - 1, jobs)
        for place in range(TRAINING_WORLDS + APART_WORLDS)
    ]
    world = scenario.world(name, seed, jobs)
    seen, apart = training[:TRAINING_WORLDS], training[TRAINING_WORLDS:]
    best = tuned(seen, costs)
    everything, by_type = watched(seen, is_global=True), watched(seen, is_global=False)
    hazard = learner(seen, by_type)
    uses_hazard = costs_less(hazard, best, apart, costs)
    arms: dict[str, tuple[Arm, str]] = {
        "none": (Never(), ""),
        "fixed": (FIXED, "60 s"),
        "exponential": (EXPONENTIAL, "1 s to 300 s, full jitter"),
        TUNED: (best, best.name),
        GLOBAL: (Planned(GLOBAL, everything, costs), ""),
        HAZARD: (hazard, ""),
        LEARNED: (hazard if uses_hazard else best, "the hazard" if uses_hazard else "the tuned backoff"),
        "oracle": (Oracle(_knowing(world)), ""),
    }
    judged = {key: Judged(scored(_run(world, arm), costs), what) for key, (arm, what) in arms.items()}
    return Comparison(name, scenario.words, seed, len(world.first_failures), judged)


def watched(worlds: Sequence[World], *, is_global: bool) -> History:
    """Give the history of some worlds under the backoff that jobs had before."""
    history = History(is_global=is_global)
    for world in worlds:
        for one in Simulation(world, WATCHING).run():
            history.add(world.subject(one.first.job), one.seen)
    return history


def _run(world: World, arm: Arm) -> list[Outcome]:
    return Simulation(world, arm, with_features=isinstance(arm, Planned)).run()


def costs_less(one: Arm, other: Arm, worlds: Sequence[World], costs: Costs) -> bool:
    """Tell whether an arm costs less than another in some worlds, beyond chance: compared job by job."""
    less = np.concatenate([_costs(world, other, costs) - _costs(world, one, costs) for world in worlds])
    error = less.std(ddof=1) / np.sqrt(len(less)) if len(less) > 1 else np.inf
    return bool(less.size and less.mean() > ERRORS * error)


def _costs(world: World, arm: Arm, costs: Costs) -> Floats:
    """Give what each job cost, in the order of the jobs."""
    ended = sorted(_run(world, arm), key=lambda one: one.first.job.number)
    return np.array([one.cost(costs) for one in ended])


def _knowing(world: World) -> Callable[[Moment], float | None]:
    """Give what an oracle of a world says: when the job of a moment works."""
    by_time = {first.job.at_s: first for first in world.first_failures}

    def works_at(moment: Moment) -> float | None:
        return world.works_from(by_time[moment.now_s])

    return works_at
