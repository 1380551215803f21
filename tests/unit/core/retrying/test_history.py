import numpy as np
import pytest

from core.retrying.bins import BINS, bin_of
from core.retrying.choice import Moment, Subject
from core.retrying.history import COUNT_MAX, FIRST_HAZARD, KEY_TEXT_MAX, History, Seen, Snapshot
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


def _many(seed: int, episodes: int = 400) -> list[tuple[Subject, Seen]]:
    dice = np.random.default_rng(seed)
    found = []
    for _ in range(episodes):
        failing_s = float(dice.exponential(300.0))
        working_s = failing_s * 1.5 if dice.random() < 0.7 else None
        texts = (f"t{dice.integers(5)}", f"k{dice.integers(4)}", f"e{dice.integers(6)}")
        found.append((Subject(*texts), Seen(failing_s, working_s)))
    return found


def _of(episodes: list[tuple[Subject, Seen]], history: History | None = None) -> History:
    history = history or History()
    for subject, seen in episodes:
        history.add(subject, seen)
    return history


def test_a_restored_history_answers_and_goes_on_as_the_other_did(monkeypatch: pytest.MonkeyPatch) -> None:
    history = _of(_many(1))
    restored = History.restored(history.snapshot())
    subjects = {subject for subject, _ in _many(1)}
    for one in (*subjects, Subject("never", "seen", "before")):
        assert np.array_equal(restored.of(one), history.of(one))
    # Which key goes first is restored too.
    monkeypatch.setattr("core.retrying.history.KEYS_MAX", 60)
    _of(_many(2), restored)
    _of(_many(2), history)
    assert len(restored) == len(history) == 60
    for one in subjects:
        assert np.array_equal(restored.of(one), history.of(one))


def test_going_on_with_a_restored_history_leaves_the_snapshot_as_it_was() -> None:
    snapshot = _of(_many(1)).snapshot()
    before = snapshot.at_risk.copy()
    _of(_many(2), History.restored(snapshot))
    assert np.array_equal(snapshot.at_risk, before)


def test_a_snapshot_keeps_what_most_was_seen_of_and_always_the_widest() -> None:
    history = _of([(QUICK, Seen(2.0, 5.0))] * 30 + [(SLOW, Seen(0.5, None))])
    keys = history.snapshot(keys_max=4).keys
    assert keys == (("503", "quick", "t"), ("503", "quick"), ("503",), ())
    assert history.snapshot(keys_max=1).keys == ((),)
    long = _of([(Subject("t", "x" * (KEY_TEXT_MAX + 1), "e"), Seen(2.0, 5.0))])
    assert long.snapshot().keys == (("e",), ())


@pytest.mark.parametrize(
    ("keys", "count", "words"),
    [
        (((), ()), 1.0, "twice"),
        ((("a", "b", "c", "d"),), 1.0, "too many texts"),
        ((("x" * (KEY_TEXT_MAX + 1),),), 1.0, "too long"),
        (((),), np.nan, "between 0"),
        (((),), -1.0, "between 0"),
        (((),), COUNT_MAX * 1.01, "between 0"),
        (tuple((str(number),) for number in range(2001)), 1.0, "2001 keys"),
    ],
)
def test_what_no_history_can_be_like_is_refused(
    keys: tuple[tuple[str, ...], ...], count: float, words: str
) -> None:
    counts = np.full((len(keys), BINS), count)
    with pytest.raises(ValueError, match=words):
        History.restored(Snapshot(keys, counts, np.zeros_like(counts)))
    with pytest.raises(ValueError, match=words):
        History.restored(Snapshot(keys, np.zeros_like(counts), counts))


def test_no_history_is_ever_refused_for_its_counts() -> None:
    history = _of([(QUICK, Seen(80_000.0, None))] * 5_000)
    assert History.restored(history.snapshot()).snapshot().keys == history.snapshot().keys


def test_counts_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        History.restored(Snapshot(((),), np.zeros((1, BINS)), np.zeros((2, BINS))))
