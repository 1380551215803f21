"""Trust in a model: won by order, lost by order."""

import math
import random

import pytest

from core.learning.trust import MARGIN, PROVEN_AFTER, Seen, Trust


def _completions(count: int, seed: int) -> list[float]:
    dice = random.Random(seed)
    return [math.exp(dice.gauss(5, 1.5)) for _ in range(count)]


def _follow(trust: Trust, runs: list[float], model: "Predictor", seed: int = 1) -> int:
    """Show completions beside a mean of middling quality; give how many it took until trust changed."""
    dice = random.Random(seed)
    before = trust.is_trusted
    for number, run in enumerate(runs, 1):
        by_mean = run * math.exp(dice.gauss(0, 0.9))
        trust.saw(Seen(model(run, dice), by_mean, run))
        if trust.is_trusted != before:
            return number
    return len(runs)


class Predictor:
    """Predicts with noise, forwards or backwards."""

    def __init__(self, noise: float, power: float = 1.0) -> None:
        self.noise = noise
        self.power = power

    def __call__(self, run: float, dice: random.Random) -> float:
        return math.pow(run * math.exp(dice.gauss(0, self.noise)), self.power)


GOOD, REVERSED = Predictor(0.3), Predictor(0.3, -1.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_good_model_is_trusted_once_it_has_shown_itself(seed: int) -> None:
    trust = Trust()
    assert _follow(trust, _completions(2 * PROVEN_AFTER, seed), GOOD) == PROVEN_AFTER
    assert trust.is_trusted
    assert trust.lead > MARGIN


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "model",
    [REVERSED, Predictor(0.0, 0.0), Predictor(2.5), lambda _run, _dice: math.nan],
    ids=["reversed", "constant", "noise", "not a number"],
)
def test_a_model_worse_than_the_mean_is_never_trusted(model: Predictor, seed: int) -> None:
    trust = Trust()
    assert _follow(trust, _completions(3 * PROVEN_AFTER, seed), model) == 3 * PROVEN_AFTER
    assert not trust.is_trusted


@pytest.mark.parametrize("seed", range(5))
def test_a_trusted_model_that_turns_is_dropped_within_tens_of_completions(seed: int) -> None:
    trust = Trust()
    _follow(trust, _completions(2 * PROVEN_AFTER, seed), GOOD)
    assert _follow(trust, _completions(500, seed + 100), REVERSED, seed) <= 60
    assert not trust.is_trusted


def test_one_that_is_dropped_wins_trust_again_by_its_order() -> None:
    trust = Trust()
    _follow(trust, _completions(2 * PROVEN_AFTER, 1), GOOD)
    _follow(trust, _completions(500, 2), REVERSED)
    assert _follow(trust, _completions(3000, 3), GOOD) < 1000
    assert trust.is_trusted


def test_nothing_seen_is_no_lead() -> None:
    assert Trust().lead == 0
    assert Trust().compared == 0
