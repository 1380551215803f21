"""Which models of recoveries may be used: by what they said of recoveries that tries enclosed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.retrying.bins import BINS, EDGES_S, HORIZON_S, Floats
from core.retrying.history import Seen
from core.retrying.survival import surviving
from core.retrying.verdict import (
    CHALLENGER,
    CHAMPION,
    HISTORY,
    LEAST_CHANCE,
    LEAST_JOBS,
    LEAST_RECOVERED,
    ROUNDS,
    Slice,
    compared,
    drift,
    judge,
    loss_of,
    losses_of,
    says_something,
)
from ports.training import PROMOTABLE

JOBS, EACH = 200, 3
HAZARDS = st.lists(st.floats(0.0, 1.0), min_size=BINS, max_size=BINS).map(np.array)
AGES = st.floats(0.0, 2 * HORIZON_S)


def on_of(jobs: int = JOBS, recovered: int | None = None, slices: dict[str, Floats] | None = None) -> Slice:
    numbers = np.repeat(np.arange(jobs), EACH)
    done = numbers < (jobs if recovered is None else recovered)
    return Slice(numbers, done, {name: where > 0 for name, where in (slices or {}).items()})


def draws_of(on: Slice, seed: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.random.default_rng(seed).integers(0, on.count, (ROUNDS, on.count))


def noise(on: Slice, seed: int, about: float = 1.0) -> Floats:
    """Give losses of which those of one job are alike."""
    dice = np.random.default_rng(seed)
    return about + dice.normal(0, 0.3, on.count)[on.jobs] + dice.normal(0, 0.05, len(on))


@given(HAZARDS, AGES, AGES, AGES, st.booleans())
def test_a_surprise_is_a_finite_number_of_nats_whatever_was_seen(
    hazards: Floats, one: float, two: float, three: float, recovered: bool
) -> None:
    since_s, failing_s, working_s = sorted((one, two, three))
    found = loss_of(hazards, Seen(failing_s, working_s if recovered else None, since_s))
    assert -1e-9 <= found <= -np.log(LEAST_CHANCE) + 1e-9


@given(st.lists(st.floats(0.0, 0.5), min_size=BINS, max_size=BINS).map(np.array), st.data())
def test_a_surprise_is_that_of_the_chance_of_what_was_seen(hazards: Floats, data: st.DataObject) -> None:
    since, failing, working = sorted(data.draw(st.tuples(*[st.integers(0, 30)] * 3)))
    ages = EDGES_S[[since, failing, working]]
    s_since, s_failing, s_working = surviving(hazards, ages)
    chance = max((s_failing - s_working) / s_since, LEAST_CHANCE)
    found = loss_of(hazards, Seen(float(ages[1]), float(ages[2]), float(ages[0])))
    if chance > 10 * LEAST_CHANCE:
        assert np.exp(-found) == pytest.approx(chance, rel=1e-3)
    still = loss_of(hazards, Seen(float(ages[1]), None, float(ages[0])))
    assert np.exp(-still) == pytest.approx(max(s_failing / s_since, LEAST_CHANCE), rel=1e-6)


@pytest.mark.parametrize("tried_at_s", [(5.0, 60.0, 600.0), (100.0, 1000.0), (30.0,)])
def test_whoever_says_what_is_true_is_surprised_least(tried_at_s: tuple[float, ...]) -> None:
    true = np.full(BINS, 0.08)
    dice = np.random.default_rng(2)
    chances = 1 - surviving(true, np.array([0.0, *tried_at_s]))
    first = np.searchsorted(chances, dice.random(4000))
    seen = [
        Seen((0.0, *tried_at_s)[place - 1], tried_at_s[place - 1] if place <= len(tried_at_s) else None)
        for place in first
    ]

    def score(hazards: Floats) -> float:
        return float(losses_of([hazards] * len(seen), seen).mean())

    for other in (0.04, 0.055, 0.11, 0.16):
        assert score(true) < score(np.full(BINS, other))


def test_what_shows_nothing_is_told_apart() -> None:
    assert not says_something(Seen(5.0, None, 5.0))
    assert says_something(Seen(5.0, None, 4.0))
    assert says_something(Seen(5.0, 6.0, 5.0))
    assert loss_of(np.full(BINS, 0.3), Seen(5.0, None, 5.0)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_failures_does_not_matter(seed: int) -> None:
    on = on_of()
    more = noise(on, seed) - 1.0
    turned = np.random.default_rng(seed).permutation(len(on))
    other = Slice(on.jobs[turned], on.recovered[turned], {})
    one, two = compared(on, more, draws_of(on)), compared(other, more[turned], draws_of(on))
    assert (one.more, one.low, one.high) == pytest.approx((two.more, two.low, two.high))
    assert one.low <= one.more <= one.high


def test_an_interval_is_of_jobs_and_not_of_failures() -> None:
    on, alone = on_of(), Slice(np.arange(JOBS * EACH), np.ones(JOBS * EACH, np.bool_), {})
    more = noise(on, 3)
    by_job, by_failure = compared(on, more, draws_of(on)), compared(alone, more, draws_of(alone))
    assert by_job.high - by_job.low > 1.4 * (by_failure.high - by_failure.low)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    on = on_of()
    held = [
        found.low <= 0 <= found.high
        for seed in range(200)
        for found in [compared(on, noise(on, seed, about=0.0), draws_of(on, seed))]
    ]
    assert 0.89 <= np.mean(held) <= 0.99


def test_what_is_better_than_history_may_be_promoted_and_what_is_not_may_not() -> None:
    on = on_of()
    history = noise(on, 1)
    better = judge(on, {CHALLENGER: history - 0.1, HISTORY: history}, draws_of(on))
    assert better.promote
    assert better.words.startswith(PROMOTABLE)
    assert better.measures[CHALLENGER]["log_score"] < better.measures[HISTORY]["log_score"]
    for challenger in (history, history + 0.01, noise(on, 2)):
        found = judge(on, {CHALLENGER: challenger, HISTORY: history}, draws_of(on))
        assert not found.promote
        assert "not better than history alone" in found.words
        assert not found.words.startswith(PROMOTABLE)


def test_what_is_worse_than_the_champion_may_not_be_promoted() -> None:
    on = on_of()
    history = noise(on, 1)
    losses = {CHALLENGER: history - 0.1, HISTORY: history, CHAMPION: history - 0.2}
    found = judge(on, losses, draws_of(on))
    assert not found.promote
    assert "worse than the champion" in found.words
    assert judge(on, losses | {CHAMPION: history - 0.1}, draws_of(on)).promote


def test_what_is_worse_in_a_slice_may_not_be_promoted_and_small_slices_say_nothing() -> None:
    numbers = np.repeat(np.arange(JOBS), EACH)
    for jobs, promote in ((60, False), (20, True)):
        where = (numbers < jobs).astype(float)
        on = on_of(slices={"type a": where, "type b": 1 - where})
        history = noise(on, 1)
        challenger = history - 0.3 + 0.5 * where
        found = judge(on, {CHALLENGER: challenger, HISTORY: history}, draws_of(on))
        assert found.promote is promote
        assert ("worse in slice type a" in found.words) is not promote


@pytest.mark.parametrize(
    ("jobs", "recovered", "words"),
    [
        (0, 0, "0 jobs"),
        (LEAST_JOBS - 1, LEAST_JOBS - 1, f"{LEAST_JOBS - 1} jobs"),
        (JOBS, LEAST_RECOVERED - 1, f"{LEAST_RECOVERED - 1} of {JOBS} jobs"),
    ],
)
def test_too_little_evidence_gives_no_verdict(jobs: int, recovered: int, words: str) -> None:
    on = on_of(jobs, recovered)
    history = noise(on, 1)
    found = judge(on, {CHALLENGER: history - 1, HISTORY: history}, draws_of(on))
    assert not found.promote
    assert found.words.startswith("no verdict")
    assert words in found.words
    assert not drift(on, history + 1, history, draws_of(on)).drifted


def test_a_champion_that_is_surely_worse_than_history_has_drifted() -> None:
    on = on_of()
    history = noise(on, 1)
    found = drift(on, history + 0.1, history, draws_of(on))
    assert found.drifted
    assert found.words.startswith("drifted: log score")
    assert found.measures["live_log_score"] > found.measures["live_log_score_history"]
    for champion in (history, history - 0.1, noise(on, 2)):
        assert not drift(on, champion, history, draws_of(on)).drifted
