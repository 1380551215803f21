"""Laws of exploration and of what is told from it."""

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.fault import FaultClass
from core.retrying.evidence import Settled, evidence_of, problem_of
from core.retrying.explore import (
    ARMS,
    CONTROL,
    CONTROL_SHARE,
    EXPLORED_MAX,
    EXPLORED_MIN,
    GENERATION_ENDS,
    PLANNED,
    STRETCHED,
    Shares,
    Tally,
    arm_draw,
    arm_of,
    is_explorable,
    propensities,
    shares_of,
    winner_of,
)
from core.retrying.off_policy import ESS_MIN, WEIGHT_MAX, Logged, always, estimate

shares = st.builds(
    shares_of,
    st.integers(0, 9),
    st.sampled_from(ARMS),
    st.one_of(st.just(0.0), st.floats(EXPLORED_MIN, EXPLORED_MAX)),
)
COST = {arm: 100.0 * (1 + number) for number, arm in enumerate(ARMS)}
"""Of an arm; in a stratum of trouble all cost as much again."""


@given(shares)
def test_chances_add_up_the_rule_keeps_its_share_and_exploration_its_budget(drawn: Shares) -> None:
    chances = propensities(drawn)
    assert sum(chances.values()) == pytest.approx(1.0)
    assert chances[CONTROL] >= CONTROL_SHARE
    others = sum(chance for arm, chance in chances.items() if arm not in {CONTROL, drawn.winner})
    assert others <= drawn.explored + 1e-12
    assert all(1 / chance <= WEIGHT_MAX + 1e-9 for chance in chances.values())


@given(shares, st.floats(0, 1, exclude_max=True))
def test_an_arm_that_has_no_chance_is_never_chosen(drawn: Shares, draw: float) -> None:
    chances = propensities(drawn)
    assert chances[arm_of(chances, draw)] > 0


@given(shares)
def test_arms_are_chosen_as_often_as_their_chance(drawn: Shares) -> None:
    chances = propensities(drawn)
    steps = 4000
    found = [arm_of(chances, (step + 0.5) / steps) for step in range(steps)]
    for arm, chance in chances.items():
        assert found.count(arm) / steps == pytest.approx(chance, abs=2 / steps)


@given(st.text(max_size=20), st.integers(1, 99))
def test_a_dispatch_draws_its_arm_once(origin: str, n: int) -> None:
    assert 0 <= arm_draw(origin, n) < 1
    assert arm_draw(origin, n) == arm_draw(origin, n)


def logs(count: int, seed: int, explored: float = 0.05, winner: str = CONTROL) -> list[Logged]:
    """Make decisions as they are made, with costs that depend on arm and stratum, and noise."""
    random, chances = Random(seed), propensities(shares_of(1, winner, explored))
    made = []
    for number in range(count):
        arm, trouble = arm_of(chances, random.random()), random.random() < 0.3
        cost = COST[arm] * (2 if trouble else 1) + random.gauss(0, 20)
        made.append(Logged(arm, chances[arm], cost, trouble, half=bool(number % 2)))
    return made


def test_every_arm_has_its_turn_and_nothing_else_may_be_explored() -> None:
    tried = {arm for generation in range(3) for arm in shares_of(generation, CONTROL, 0.05).tried}
    assert tried == {PLANNED, *STRETCHED}
    assert [is_explorable(share) for share in (0.0, 0.02, 0.04, 0.05, 0.06, -1.0)] == [1, 0, 1, 1, 0, 0]
    with pytest.raises(ValueError, match=r"from 0\.04 to 0\.05"):
        propensities(Shares(CONTROL, 0.5, (PLANNED,)))
    with pytest.raises(ValueError, match="no arm"):
        propensities(Shares("guess", 0.05, (PLANNED,)))


@pytest.mark.parametrize("arm", [CONTROL, PLANNED, "fourfold"])
def test_estimates_are_right_on_average(arm: str) -> None:
    truth = COST[arm] * 1.3
    found = [estimate(logs(2000, seed), always(arm)) for seed in range(40)]
    for name, within in (("ips", 0.08), ("snips", 0.05), ("doubly_robust", 0.03)):
        mean = sum(getattr(one, name) for one in found) / len(found)
        assert mean == pytest.approx(truth, rel=within), name
    covered = sum(abs(one.doubly_robust - truth) <= 2.6 * one.error for one in found)
    assert covered >= 35


def test_the_doubly_robust_one_stays_right_where_strata_say_nothing() -> None:
    found = [
        estimate([one._replace(stratum="") for one in logs(2000, seed)], always("fourfold"))
        for seed in range(40)
    ]
    mean = sum(one.doubly_robust for one in found) / len(found)
    assert mean == pytest.approx(COST["fourfold"] * 1.3, rel=0.05)


@given(st.lists(st.tuples(st.sampled_from(ARMS), st.floats(0.01, 1), st.floats(0, 1e4)), max_size=60))
def test_weights_bound_what_is_said(drawn: list[tuple[str, float, float]]) -> None:
    logged = [Logged(*one) for one in drawn]
    found = estimate(logged, always(CONTROL))
    mine = [one for one in logged if one.arm == CONTROL]
    assert found.effective <= len(mine) + 1e-6
    assert found.heaviest == max((1 / one.propensity for one in mine), default=0)
    if mine:
        assert min(one.cost for one in mine) - 1e-6 <= found.snips <= max(one.cost for one in mine) + 1e-6
    assert found.refusal is not None


def test_thin_or_lopsided_evidence_is_refused() -> None:
    many = [Logged(CONTROL, 0.5, 10.0)] * int(ESS_MIN)
    assert estimate(many, always(CONTROL)).refusal is None
    assert "are needed" in str(estimate(many[1:], always(CONTROL)).refusal)
    heavy = [Logged(CONTROL, 0.9 / WEIGHT_MAX, 10.0)] * 500
    assert "would stand for" in str(estimate(heavy, always(CONTROL)).refusal)
    assert estimate([], always(CONTROL)).refusal is not None


@pytest.mark.parametrize(
    "broken", [Logged("rule", 0.0, 1.0), Logged("rule", 2.0, 1.0), Logged("rule", 1, float("nan"))]
)
def test_a_broken_log_is_no_evidence(broken: Logged) -> None:
    with pytest.raises(ValueError, match="leave"):
        estimate([broken], always(CONTROL))


def test_the_policy_that_was_used_has_the_mean_of_its_costs() -> None:
    logged = logs(500, 1)
    chances = propensities(shares_of(1, CONTROL, 0.05))
    found = estimate(logged, lambda _, arm: chances[arm])
    assert found.ips == pytest.approx(sum(one.cost for one in logged) / 500)
    assert found.effective == pytest.approx(500)


def tally(mean: float, count: int, propensity: float = 0.1) -> Tally:
    made = Tally()
    for number in range(count):
        made.add(mean + (number % 2) * 2 - 1, propensity)
    return made


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(ARMS), max_size=len(ARMS)))
def test_what_is_clearly_cheapest_wins_whatever_is_drawn(drawn: list[float]) -> None:
    tallies = {arm: tally(COST[arm], 200) for arm in ARMS} | {"fourfold": tally(10.0, 200)}
    assert winner_of(tallies, dict(zip(ARMS, drawn, strict=True))) == "fourfold"


def test_without_evidence_the_rule_wins() -> None:
    draws = dict.fromkeys(ARMS, 0.5)
    assert winner_of({}, draws) == CONTROL
    assert winner_of({"fourfold": tally(1.0, 500)}, draws) == CONTROL
    assert winner_of({CONTROL: tally(100.0, 500), "fourfold": tally(1.0, 49)}, draws) == CONTROL
    assert winner_of({CONTROL: tally(100.0, 500), "fourfold": tally(1.0, 51)}, draws) == "fourfold"


def test_what_may_be_better_gets_its_turn() -> None:
    close = {CONTROL: tally(100.0, 100), "fourfold": tally(100.05, 100)}
    draws = dict.fromkeys(ARMS, 0.5)
    assert winner_of(close, draws) == CONTROL
    assert winner_of(close, draws | {"fourfold": 0.01}) == "fourfold"


settled = st.builds(
    Settled,
    st.sampled_from(sorted(FaultClass)),
    st.sampled_from(ARMS),
    st.floats(1 / WEIGHT_MAX, 1.0),
    st.floats(0, 1e7),
)


@example([Settled(FaultClass.LOST, CONTROL, 1.0, 8.119102515642902e-162)], 2)
@given(st.lists(settled, max_size=40), st.integers(1, 200))
def test_what_is_told_of_decisions_is_always_possible_and_bounded(some: list[Settled], times: int) -> None:
    told = evidence_of(one for _ in range(times) for one in some)
    assert problem_of(told) is None
    for error_class, tallies in told.items():
        for arm, tally in tallies.items():
            costs = [one.cost_s for one in some if (one.error_class, one.arm) == (error_class, arm)]
            assert min(costs) * (1 - 1e-9) <= tally.mean <= max(costs) * (1 + 1e-9)
            assert tally.weight <= 2 * GENERATION_ENDS * WEIGHT_MAX * (1 + 1e-9)


@given(st.lists(settled, max_size=40))
def test_classes_of_failures_are_told_of_apart(some: list[Settled]) -> None:
    told = evidence_of(some)
    for error_class, tallies in told.items():
        alone = evidence_of(one for one in some if one.error_class == error_class)
        assert alone == {error_class: tallies}
