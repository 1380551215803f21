"""The learned arm of the lab: a hazard trained in simulated worlds."""

from collections.abc import Callable, Sequence

import numpy as np

from adapters.learned.retry_training import Failures, train_hazard
from adapters.learned.retrying import LearnedHazards
from adapters.learned.training import NothingToLearnError
from core.retrying.ahead import merged
from core.retrying.arms import Planned
from core.retrying.bins import Floats, Vector
from core.retrying.choice import Arm
from core.retrying.history import History, Seen
from core.retrying.lab import HAZARD, WATCHING, watched
from core.retrying.plan import Costs
from core.retrying.simulation import Simulation
from core.retrying.world import World

ROUNDS = 80


def learner(costs: Costs, seed: int = 1, rounds: int = ROUNDS) -> Callable[[Sequence[World], History], Arm]:
    """Give what trains an arm that minimizes some costs."""

    def learned(worlds: Sequence[World], history: History) -> Arm:
        try:
            head = train_hazard(failures_in(worlds), seed, rounds)
        except NothingToLearnError:
            return Planned(HAZARD, history, costs)
        return Planned(HAZARD, LearnedHazards(head, history), costs)

    return learned


def failures_in(worlds: Sequence[World]) -> Failures:
    """Watch retries in some worlds; the history beside each moment is that of the other worlds.

    A history that holds an episode itself would look better than it is, and leave nothing to correct.
    """
    vectors: list[Vector] = []
    ages_s: list[float] = []
    now_s: list[float] = []
    by_history: list[Floats] = []
    seen: list[Seen] = []
    for place, world in enumerate(worlds):
        others = [*worlds[:place], *worlds[place + 1 :]] or [world]
        history = watched(others, is_global=False)
        simulation = Simulation(world, WATCHING, with_features=True)
        by_number = {one.first.job.number: one.seen for one in simulation.run()}
        for asked in simulation.asked:
            moment, known = asked.moment, by_number[asked.number]
            assert moment.features is not None
            vectors.append(moment.features)
            ages_s.append(moment.age_s)
            now_s.append(moment.now_s)
            by_history.append(merged(history.hazards(moment)))
            seen.append(known._replace(since_s=moment.age_s))
    return Failures(np.array(vectors), np.array(ages_s), np.array(now_s), np.array(by_history), seen)
