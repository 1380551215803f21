import numpy as np
import pytest

from adapters.learned.heads import Head
from adapters.learned.retry_training import Failures, hazard_rows, train_hazard, train_works
from adapters.learned.retrying import LearnedChance, LearnedHazards
from adapters.learned.training import NothingToLearnError
from core.retrying.ahead import STRETCHES, merged
from core.retrying.bins import BINS
from core.retrying.choice import Moment
from core.retrying.columns import COLUMN, FEATURES
from core.retrying.features import Failure, features
from core.retrying.history import History, Seen
from core.retrying.survival import surviving

SPEAKING = "type.streak"
EPISODES = 300


def _failures(*, recover: bool = True) -> Failures:
    """Episodes that recover after a minute where a feature says so, else after an hour."""
    vectors = np.array([features(Failure(1, 1, 0.0, 1e6), {})] * EPISODES)
    quick = np.arange(EPISODES) % 2 == 0
    vectors[:, COLUMN[SPEAKING]] = quick
    ages_s = np.where(quick, 60.0, 3600.0)
    seen = [Seen(age_s * 0.9, age_s * 1.1 if recover else None) for age_s in ages_s.tolist()]
    zeros = np.zeros(EPISODES)
    return Failures(vectors, zeros, zeros + 1e6, np.full((EPISODES, STRETCHES), 0.05), seen)


def _moment(quick: float) -> Moment:
    vector = features(Failure(1, 1, 0.0, 1e6), {})
    vector[COLUMN[SPEAKING]] = quick
    return Moment(0.0, 1, 5, now_s=1e6, features=vector)


@pytest.fixture(scope="module")
def head() -> Head:
    return train_hazard(_failures(), rounds=150)


def test_a_hazard_learns_from_features_when_episodes_recover(head: Head) -> None:
    learned = LearnedHazards(head, History(is_global=True))
    quick, slow = (surviving(learned.hazards(_moment(one)), np.array([300.0]))[0] for one in (1.0, 0.0))
    assert quick < 0.3
    assert slow > 0.6


def test_without_features_history_answers(head: Head) -> None:
    history = History(is_global=True)
    moment = Moment(0.0, 1, 5)
    assert np.array_equal(LearnedHazards(head, history).hazards(moment), history.hazards(moment))


def test_hazards_stay_hazards_at_any_age(head: Head) -> None:
    learned = LearnedHazards(head, History(is_global=True))
    for age_s in (0.0, 5.0, 1e4, 1e7):
        found = learned.hazards(Moment(age_s, 3, 5, now_s=1e6, features=_moment(1.0).features))
        assert found.shape == (BINS,)
        assert ((found >= 0) & (found <= 1)).all()


def test_rows_weigh_as_much_as_there_are_recoveries() -> None:
    rows, labels, weights = hazard_rows(_failures())
    assert len(rows) == len(labels) == len(weights)
    assert float((labels * weights).sum()) == pytest.approx(EPISODES, rel=0.05)
    assert ((labels >= 0) & (labels <= 1)).all()


def test_equal_rows_and_seeds_make_equal_bytes() -> None:
    assert train_hazard(_failures(), rounds=5) == train_hazard(_failures(), rounds=5)


def test_nothing_is_learned_where_nothing_recovered() -> None:
    with pytest.raises(NothingToLearnError, match="let more jobs fail"):
        train_hazard(_failures(recover=False), rounds=5)
    with pytest.raises(NothingToLearnError):
        train_works(np.zeros((10, len(FEATURES)), np.float32), np.ones(10, np.float32), rounds=5)


def test_a_chance_learns_what_works() -> None:
    vectors = np.zeros((400, len(FEATURES)), np.float32)
    vectors[::2, COLUMN["run"]] = 5.0
    worked = (np.arange(400) % 2).astype(np.float32)
    said = LearnedChance(train_works(vectors, worked, rounds=60)).of(vectors[:2])
    assert said[0] < 0.2
    assert said[1] > 0.8


def test_merging_nothing_is_nothing() -> None:
    assert not merged(np.zeros(BINS)).any()
