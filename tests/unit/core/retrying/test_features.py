import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.retrying.ahead import (
    STRETCH_EDGES_S,
    STRETCHES,
    first_ahead,
    log_odds,
    merged,
    rows_ahead,
    unmerged,
    with_ahead,
)
from core.retrying.bins import BINS, EDGES_S
from core.retrying.choice import Subject
from core.retrying.columns import COLUMN, COLUMNS, FEATURES, Kind
from core.retrying.features import Failure, features
from core.retrying.standing import KEYS_MAX, Standings, Tried
from core.retrying.survival import log_survival

ROOT = Path(__file__).parents[4]
SUBJECT = Subject("tenant", "type", "503")
FAILURE = Failure(
    failures=2, attempt=3, age_s=60.0, now_s=1_000_000.0, run_s=5.0, previous_run_s=10.0, mean_run_s=7.5
)


def _of(name: str, standings: Standings, failure: Failure = FAILURE, subject: Subject = SUBJECT) -> float:
    return float(features(failure, standings.of(subject))[COLUMN[name]])


def test_a_vector_has_every_column_and_defaults_where_nothing_was_tried() -> None:
    found = features(FAILURE, {})
    assert found.shape == (len(FEATURES),)
    assert found.dtype == np.float32
    assert found[COLUMN["failures"]] == 2
    assert found[COLUMN["run_change"]] == pytest.approx(math.log1p(5.0) - math.log1p(10.0))
    for kind in Kind:
        assert found[COLUMN[f"{kind.name.lower()}.worked"]] == 0.0
        assert math.isnan(found[COLUMN[f"{kind.name.lower()}.works"]])


def test_names_are_told_once() -> None:
    names = [feature.name for feature in COLUMNS]
    assert len(set(names)) == len(names)


def test_shares_are_those_of_the_narrowest_key_and_lean_on_the_wider() -> None:
    standings = Standings()
    for second in range(40):
        standings.add(Subject("other", "other"), Tried(second, worked=True, is_retry=True))
        standings.add(SUBJECT, Tried(second + 0.5, worked=False, is_retry=True))
    assert _of("type.works", standings) < 0.1
    assert _of("everything.works", standings) == pytest.approx(0.5, abs=0.1)
    assert _of("type.streak", standings) == -40.0
    new = Subject("tenant", "new")
    assert math.isnan(_of("type.works", standings, subject=new))
    assert _of("tenant.retry_works", standings, subject=new) < 0.1


def test_counts_by_time_halve_in_an_hour() -> None:
    standings = Standings()
    standings.add(SUBJECT, Tried(0.0, worked=False, is_retry=False))
    now = FAILURE._replace(now_s=3600.0)
    assert _of("type.failed_1h", standings, now) == pytest.approx(math.log1p(0.5))
    assert _of("type.since_failed", standings, now) == pytest.approx(math.log1p(3600.0))
    assert math.isnan(_of("type.since_worked", standings, now))


def test_keys_are_bounded_and_the_widest_stays() -> None:
    standings = Standings()
    for number in range(KEYS_MAX // 3 + 10):
        standings.add(Subject(f"t{number}", f"k{number}"), Tried(number, worked=True, is_retry=False))
    assert len(standings) <= KEYS_MAX
    assert standings.of(SUBJECT)[Kind.EVERYTHING].worked == KEYS_MAX // 3 + 10


def test_stretches_hold_the_survival_of_their_bins() -> None:
    hazards = np.random.default_rng(2).uniform(0.0, 0.3, BINS)
    again = unmerged(merged(hazards))
    assert log_survival(again)[::2] == pytest.approx(log_survival(hazards)[::2])
    assert merged(again) == pytest.approx(merged(hazards))


@pytest.mark.parametrize("age_s", [0.0, 1.0, 777.0, float(EDGES_S[-1]), 1e9])
def test_rows_reach_from_the_present_stretch_to_the_horizon(age_s: float) -> None:
    history = np.full(STRETCHES, 0.1)
    rows = rows_ahead(features(FAILURE, {}), age_s, 1_000_000.0, history)
    assert rows.shape == (STRETCHES - first_ahead(age_s), len(COLUMNS))
    assert (np.diff(rows[:, len(FEATURES)]) >= 0).all()
    assert rows[:, -1] == pytest.approx(log_odds(np.array([0.1]))[0])
    # Nothing corrected is history again.
    assert with_ahead(history, first_ahead(age_s), rows[:, -1].astype(np.float64)) == pytest.approx(
        unmerged(history), abs=1e-6
    )
    if age_s < STRETCH_EDGES_S[-1]:
        assert STRETCH_EDGES_S[first_ahead(age_s)] <= age_s < STRETCH_EDGES_S[first_ahead(age_s) + 1]


def test_the_columns_are_known_without_arrays() -> None:
    code = "import sys, core.retrying.columns; print('numpy' in sys.modules)"
    done = subprocess.run(
        (sys.executable, "-c", code), check=True, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "False"
