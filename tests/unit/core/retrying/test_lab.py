import pytest

from core.retrying.arms import Backoff, Never, Oracle, Planned
from core.retrying.choice import Arm
from core.retrying.history import History
from core.retrying.lab import LEARNED, TUNED, Comparison, compared
from core.retrying.scenarios import INVALID, SCENARIOS
from core.retrying.simulation import LAB_COSTS, TRIES_MAX, Simulation, scored
from core.retrying.tuning import candidates, tuned
from core.retrying.world import World

JOBS = 250


def _world(name: str, seed: int = 3) -> World:
    return SCENARIOS[name].world(name, seed, JOBS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_world_is_that_of_its_seed_and_something_fails_in_it(name: str) -> None:
    world = _world(name)
    assert world == _world(name)
    assert world != _world(name, seed=4)
    assert 0 < len(world.first_failures) < JOBS
    assert [phase.begins_s for phase in world.phases] == sorted(phase.begins_s for phase in world.phases)
    for first in world.first_failures:
        assert first.episode_began_s <= first.job.at_s
        works_from_s = world.works_from(first)
        if works_from_s is not None:
            assert works_from_s > first.job.at_s
            assert world.works(first.job, works_from_s)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_oracle_pays_next_to_nothing_and_who_gives_up_the_most(name: str) -> None:
    world = _world(name)
    by_time = {first.job.at_s: first for first in world.first_failures}
    oracle = Simulation(world, Oracle(lambda moment: world.works_from(by_time[moment.now_s]))).run()
    none = Simulation(world, Never()).run()
    assert len(oracle) == len(none) == len(world.first_failures)
    assert scored(oracle).cost < 1.0
    assert scored(oracle).recovered == 1.0
    assert scored(oracle).wasted == 0.0
    assert scored(none).recovered == 0.0
    assert scored(none).tries == 0.0


def test_what_is_broken_is_never_recovered_and_can_be_told_apart() -> None:
    world = _world("permanent")
    broken = [first for first in world.first_failures if first.job.is_broken]
    assert broken
    assert any(first.job.signature == INVALID for first in broken)
    outcomes = Simulation(world, Backoff("fixed", 60.0, 60.0, TRIES_MAX)).run()
    for one in outcomes:
        if one.first.job.is_broken:
            assert one.recovered_s is None
            assert one.tries == TRIES_MAX
            assert one.cost(LAB_COSTS) == LAB_COSTS.wasted_try * TRIES_MAX
        assert one.seen.since_s <= one.seen.failing_s


def test_features_change_nothing_for_who_does_not_look_at_them() -> None:
    world = _world("outages")
    backoff = Backoff("fixed", 300.0, 300.0, 6)
    with_features = Simulation(world, backoff, with_features=True)
    assert with_features.run() == Simulation(world, backoff).run()
    assert len(with_features.asked) >= len(world.first_failures)


def test_tuning_finds_the_candidate_that_costs_least() -> None:
    worlds = [_world("scripted")]
    few = [one for one in candidates() if one.tries == 6][::5]
    best = tuned(worlds, LAB_COSTS, few)
    costs = {one: scored(Simulation(worlds[0], one).run()).cost for one in few}
    assert costs[best] == min(costs.values())


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    def by_history(worlds: object, history: History) -> Arm:
        del worlds
        return Planned("by history", history, LAB_COSTS)

    return compared("bimodal", 2, JOBS, by_history)


def test_every_arm_is_judged_in_the_same_world(comparison: Comparison) -> None:
    assert {one.score.jobs for one in comparison.by_arm.values()} == {comparison.jobs}
    assert comparison.by_arm["oracle"].score.cost == min(one.score.cost for one in comparison.by_arm.values())


def test_what_is_shipped_is_the_model_or_the_tuned_backoff(comparison: Comparison) -> None:
    shipped, best = comparison.by_arm[LEARNED], comparison.by_arm[TUNED]
    assert shipped.is_what in {"the hazard", "the tuned backoff"}
    if shipped.is_what == "the tuned backoff":
        assert shipped.score == best.score
