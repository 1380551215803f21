import numpy as np
import pytest

from core.retrying.bins import BINS, bin_of
from core.retrying.choice import Moment, Subject
from core.retrying.history import FIRST_HAZARD, History, Seen
from core.retrying.survival import surviving

QUICK, SLOW = Subject("t", "quick", "503"), Subject("t", "slow", "503")


def _on_at(history: History, subject: Subject, age_s: float) -> float:
    return float(surviving(history.of(subject), np.array([age_s]))[0])


def test_nothing_seen_gives_the_first_hazard() -> None:
    assert (History().of(QUICK) == FIRST_HAZARD).all()


def test_a_type_keeps_what_it_showed_and_an_unknown_one_is_like_all() -> None:
    history = History()
    for _ in range(30):
        history.add(QUICK, Seen(2.0, 5.0))
        history.add(SLOW, Seen(3000.0, 6000.0))
    assert _on_at(history, QUICK, 10.0) < 0.2
    assert _on_at(history, SLOW, 1000.0) > 0.8
    unknown = _on_at(history, Subject("x", "other", "503"), 1000.0)
    assert _on_at(history, QUICK, 1000.0) < unknown < _on_at(history, SLOW, 1000.0)


def test_a_new_tenant_of_a_type_is_like_the_type() -> None:
    history = History()
    for _ in range(20):
        history.add(QUICK, Seen(2.0, 5.0))
    assert history.of(QUICK._replace(tenant="new")) == pytest.approx(
        history.of(QUICK._replace(tenant="newer")), abs=0
    )
    assert _on_at(history, QUICK._replace(tenant="new"), 10.0) < 0.3


def test_an_episode_nobody_saw_recover_counts_only_while_it_was_watched() -> None:
    history = History(is_global=True)
    for _ in range(50):
        history.add(QUICK, Seen(60.0, None))
    found = history.of(QUICK)
    assert found[: bin_of(50.0)].max() < FIRST_HAZARD
    assert found[bin_of(600.0)] == FIRST_HAZARD


def test_a_recovery_is_spread_between_the_tries_that_enclose_it() -> None:
    history = History(is_global=True)
    for _ in range(50):
        history.add(QUICK, Seen(100.0, 1000.0))
    found = history.of(QUICK)
    inside = found[bin_of(150.0) : bin_of(900.0)]
    assert inside.min() > 2 * FIRST_HAZARD
    assert found[: bin_of(30.0)].max() < FIRST_HAZARD


def test_the_shares_of_many_episodes_are_found_again() -> None:
    dice = np.random.default_rng(4)
    history = History(is_global=True)
    ages = dice.exponential(500.0, 3000)
    for age_s in ages:
        history.add(QUICK, Seen(age_s * 0.9, age_s * 1.1))
    for age_s in (100.0, 500.0, 1500.0):
        assert _on_at(history, QUICK, age_s) == pytest.approx(np.exp(-age_s / 500.0), abs=0.07)


def test_keys_are_bounded_and_the_widest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.retrying.history.KEYS_MAX", 50)
    history = History()
    for number in range(100):
        history.add(Subject(str(number), str(number), "e"), Seen(1.0, 2.0))
    assert len(history) == 50
    assert history.hazards(Moment(0.0, 1, 1, subject=Subject("new", "new", "new"))).shape == (BINS,)
    assert _on_at(history, Subject("new", "new", "new"), 10.0) < 0.3
