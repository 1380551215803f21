"""Drift: found where it is, and not where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.learning.drift import LIVE_ENDS, TOP, Drift, Moved, drift, moved, psi, top_columns
from core.learning.features import COLUMN, FEATURES
from core.learning.measures import Floats
from core.learning.verdict import Said

fewer = settings(max_examples=5, deadline=None)
seeds = st.integers(0, 2**32 - 1)
columns = arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e6, 1e6) | st.just(np.nan))


def live(seed: int, ends: int = LIVE_ENDS) -> tuple[Floats, Floats, Said, Floats]:
    """Make ends, what a model that is right said of them, and dice."""
    dice = np.random.default_rng(seed)
    p = dice.choice([0.02, 0.3, 0.7], ends)
    typical = dice.normal(8, 2, ends)
    failed = (dice.random(ends) < p).astype(np.float64)
    return failed, typical + dice.normal(0, 0.5, ends), Said(typical, p), dice.random((20, ends))


def plain(said: Said, seed: int) -> Said:
    dice = np.random.default_rng(seed)
    return Said(said.log_run + dice.normal(0, 1, len(said.log_run)), np.full(len(said.failed), 0.34))


def judged(seed: int, log_run: Floats | None = None, failed: Floats | None = None) -> Drift:
    ended, ran, said, draws = live(seed)
    found = Said(said.log_run if log_run is None else log_run, said.failed if failed is None else failed)
    return drift(ended, ran, found, plain(said, seed), draws)


def test_of_a_hundred_models_that_are_right_at_most_one_is_said_to_have_drifted() -> None:
    # Always the same ones: a verdict on samples is wrong now and then, of these six in three thousand.
    found = [judged(seed) for seed in range(100)]
    assert sum(one.drifted for one in found) <= 1, [one.words for one in found if one.drifted]
    assert all(one.measures["live_spearman"] > one.measures["live_spearman_ewma"] for one in found)


@fewer
@given(seeds)
def test_a_model_that_is_reversed_or_says_nothing_has_drifted(seed: int) -> None:
    _, _, said, _ = live(seed)
    for wrong in (-said.log_run, np.random.default_rng(seed).permutation(said.log_run), said.log_run * 0):
        found = judged(seed, log_run=wrong)
        assert found.drifted
        assert "order of run times" in found.words


@fewer
@given(seeds)
def test_probabilities_that_are_off_are_drift_when_the_running_rate_is_nearer(seed: int) -> None:
    _, _, said, _ = live(seed)
    found = judged(seed, failed=said.failed * 0.7)
    assert found.drifted
    assert "ECE" in found.words
    ended, ran, said, draws = live(seed)
    both = Said(said.log_run, np.full(len(ended), 0.9))
    assert not drift(ended, ran, both, Said(said.log_run, both.failed), draws).drifted


@fewer
@given(seeds, st.integers(0, LIVE_ENDS - 1))
def test_few_ends_say_nothing(seed: int, ends: int) -> None:
    ended, ran, said, draws = live(seed, ends)
    found = drift(ended, ran, Said(-said.log_run, 1 - said.failed), said, draws)
    assert not found.drifted
    assert f"{ends} ends" in found.words


@given(columns)
def test_what_has_not_moved_has_an_index_of_zero(column: Floats) -> None:
    assert psi(column, column) == pytest.approx(0)


@given(columns, columns)
def test_an_index_is_never_negative_and_depends_on_rank_alone(before: Floats, now: Floats) -> None:
    found = psi(before, now)
    assert found >= 0
    assert np.isfinite(found)
    assert psi(before * 4, now * 4) == pytest.approx(found)


def test_a_shift_of_half_a_deviation_is_seen_and_a_sample_is_not() -> None:
    dice = np.random.default_rng(1)
    before, now = dice.normal(size=20_000), dice.normal(size=4_000)
    assert psi(before, now) < 0.01
    assert psi(before, now + 0.5) > 0.2
    missing = np.where(dice.random(4_000) < 0.4, np.nan, now)
    assert psi(before, missing) > 0.2


def vectors(seed: int, rows: int, shift: float) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    dice = np.random.default_rng(seed)
    return (dice.normal(size=(rows, len(FEATURES))) + shift).astype(np.float32)


def test_columns_that_moved_are_drift_and_those_that_always_do_are_not() -> None:
    places = [3, 9, 20]
    still = moved(vectors(1, 10_000, 0), vectors(2, 3_000, 0), places)
    far = moved(vectors(1, 10_000, 0), vectors(2, 3_000, 1), places)
    always = moved(np.vstack([vectors(1, 7_000, -1), vectors(3, 3_000, 0)]), vectors(2, 3_000, 1), places)
    assert still is not None
    assert far is not None
    assert always is not None
    ended, ran, said, draws = live(1)
    assert not drift(ended, ran, said, said, draws, still).drifted
    found = drift(ended, ran, said, said, draws, far)
    assert found.drifted
    assert "columns moved" in found.words
    assert always.psi > 0.2
    assert not drift(ended, ran, said, said, draws, always._replace(psi=1.9 * always.usual)).drifted


def test_columns_alone_are_judged_without_ends() -> None:
    none, draws = np.empty(0), np.empty((0, 0))
    found = drift(none, none, Said(none, none), Said(none, none), draws, Moved(0.5, 0.05, "payload"))
    assert found.drifted
    assert "payload" in found.words


def test_few_rows_or_no_columns_are_not_compared() -> None:
    assert moved(vectors(1, 10_000, 0), vectors(2, LIVE_ENDS - 1, 1), [3]) is None
    assert moved(vectors(1, 10_000, 0), vectors(2, LIVE_ENDS, 1), []) is None
    assert moved(vectors(1, LIVE_ENDS, 0), vectors(2, LIVE_ENDS, 1), [3]) is None


def test_the_columns_compared_are_those_with_most_gain_that_do_not_move_with_time() -> None:
    gains = np.arange(len(FEATURES), dtype=np.float64)
    names = [FEATURES[place].name for place in top_columns(gains)]
    assert len(names) == TOP
    assert names[0] == "ever_failed"
    assert not {"hour", "weekday"} & set(names)
    assert not [name for name in names if name.endswith((".ends", ".age"))]
    gains[:] = 0
    gains[COLUMN["payload"]] = 1
    assert top_columns(gains) == [COLUMN["payload"]]
