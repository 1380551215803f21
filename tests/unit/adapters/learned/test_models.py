"""Models: what they predict from vectors, and what they are trained on."""

import math

import numpy as np
import pytest

from adapters.learned.boosted import BoostedModel, booster_of
from adapters.learned.heads import Head
from adapters.learned.plain import ConstantModel, EwmaModel, LastTwoModel
from adapters.learned.rows import NOT_ENDED, Rows, known_at
from adapters.learned.training import Recipe, train
from core.learning.events import Status
from core.learning.features import COLUMN, UNKNOWN_LOG_RUN
from ports.models import Model
from tests.support.vectors import unknown_vectors

RECIPE = Recipe(limit_ms=100_000, run_rounds=(20, 20), run_high_rounds=5)


def _rows(jobs: int = 600, seed: int = 1) -> Rows:
    """Runs three times as long at priority 9, and failing at priority 1; a job a second."""
    dice = np.random.default_rng(seed)
    vectors = unknown_vectors(jobs)
    priority = dice.choice([1, 5, 9], jobs)
    vectors[:, COLUMN["priority"]] = priority
    decided = np.arange(jobs, dtype=np.int64) * 1000
    run = np.where(priority == 9, 3000, 1000) + dice.integers(0, 100, jobs)
    status = np.where(priority == 1, Status.FAILED, Status.OK).astype(np.int8)
    return Rows(vectors, decided, decided + 10, decided + 10 + run, run, status)


@pytest.mark.parametrize(
    "model", [EwmaModel(), ConstantModel(), LastTwoModel()], ids=lambda model: model.name
)
def test_a_plain_model_predicts_the_default_without_history(model: Model) -> None:
    said = model.predict(unknown_vectors(3))
    assert said.log_run == pytest.approx([UNKNOWN_LOG_RUN] * 3)
    assert ((said.failed > 0) & (said.failed < 0.1)).all()


def test_the_last_two_are_averaged_and_one_stands_alone() -> None:
    vectors = unknown_vectors(2)
    vectors[:, COLUMN["type.last_run"]] = math.log(9_999 + 1)
    vectors[1, COLUMN["type.previous_run"]] = math.log(1)
    assert np.expm1(LastTwoModel().predict(vectors).log_run) == pytest.approx([9_999, 4_999.5], rel=1e-4)


def test_a_trained_model_tells_long_from_short_and_failing_from_fine() -> None:
    rows = _rows()
    model = BoostedModel("m1", train(rows, 500_000, RECIPE))
    said = model.predict(rows.vectors)
    priority = rows.vectors[:, COLUMN["priority"]]
    assert np.expm1(said.log_run[priority == 9]).mean() > 1.5 * np.expm1(said.log_run[priority == 5]).mean()
    assert said.failed[priority == 1].mean() > 0.3
    assert said.failed[priority == 9].mean() < 0.15
    assert said.log_run_high is not None
    assert (said.log_run_high > said.log_run - 1).all()
    assert model.name == "m1"


def test_a_model_refuses_vectors_of_another_table() -> None:
    model = BoostedModel("m1", train(_rows(), 500_000, RECIPE))
    for any_model in (model, EwmaModel()):
        with pytest.raises(ValueError, match="train it again"):
            any_model.predict(np.zeros((2, 3), np.float32))


def test_bytes_that_are_no_booster_are_refused() -> None:
    with pytest.raises(ValueError, match="not a booster"):
        booster_of(Head(b"{ damaged", 1))


def test_equal_rows_and_seed_give_equal_bytes() -> None:
    assert train(_rows(), 500_000, RECIPE) == train(_rows(), 500_000, RECIPE)


def test_only_what_had_ended_has_its_label_and_what_runs_counts_for_as_long_as_it_ran() -> None:
    vectors = unknown_vectors(5)
    vectors[:, COLUMN["expected_run"]] = math.log(5_000 + 1)
    decided = np.array([0, 1000, 2000, 3000, 9000])
    ended = np.array([500, 20_000, NOT_ENDED, 8_000, 9_500])
    run = np.array([500, 19_000, 0, 200_000, 500])
    status = np.array([Status.FAILED, Status.FAILED, Status.OK, Status.OK, Status.FAILED], np.int8)
    runs, ends = known_at(Rows(vectors, decided, decided, ended, run, status), 9_000, limit_ms=6_000)
    # The first ended, two run, longer than expected but at most the limit, and one was cut off there.
    assert runs.rows.tolist() == [0, 1, 2, 3]
    assert np.expm1(runs.log_run) == pytest.approx([500, 6_000, 6_000, 6_000], rel=1e-3)
    assert ends.rows.tolist() == [0, 3]
    assert ends.failed.tolist() == [1, 0]


def test_training_begins_where_it_is_told_to() -> None:
    runs, _ = known_at(_rows(10), 9_000, 4_000, limit_ms=100_000)
    assert runs.rows.tolist() == [4, 5, 6, 7, 8]


def test_nothing_to_tell_apart_is_said() -> None:
    rows = _rows(20)
    fine = Rows(rows.vectors, rows.decided_ms, rows.started_ms, rows.ended_ms, rows.run_ms, rows.status * 0)
    with pytest.raises(ValueError, match="let more jobs run first"):
        train(fine, 500_000, RECIPE)


def test_a_large_group_that_is_far_from_the_running_mean_is_approached_and_not_overshot() -> None:
    jobs = 12_000
    rows = _rows(jobs)
    long = rows.vectors[:, COLUMN["priority"]] == 9
    run_ms = np.where(long, 30_000, 1_000)
    far = Rows(rows.vectors, rows.decided_ms, rows.started_ms, rows.started_ms + run_ms, run_ms, rows.status)
    recipe = Recipe(limit_ms=100_000, run_rounds=(40, 40), failed_rounds=(1,) * 4)
    said = BoostedModel("m1", train(far, 10**9, recipe)).predict(rows.vectors).log_run
    assert (said[long] > said[~long].max()).all()
    assert said.max() < math.log(60_000)
    assert said.min() > math.log(500)
