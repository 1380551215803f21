"""The fold of ``jobs.held`` covers what is held, whatever was handed on, trimmed, repeated or restored."""

from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import held
from core.held import HeldFold, Stretch

NAMES = ("pause/type/a", "pause/type/b", "limit/tenant/c")


class Held(NamedTuple):
    """A held job."""

    name: str


class HandedOn(NamedTuple):
    """The word that all below were handed on."""

    name: str
    until: int


Entry = Held | HandedOn | None
"""None stands for records between that say nothing: a transaction marker, or what compaction left."""
names = st.sampled_from(NAMES)
logs = st.lists(
    st.one_of(st.builds(Held, names), st.builds(Held, names), st.builds(HandedOn, names, st.integers(0, 60))),
    max_size=60,
)


def still_held(log: list[Entry], upto: int, start: int = 0) -> dict[str, list[int]]:
    """What the log says, told literally: jobs from ``start`` on that no later word covers."""
    found: dict[str, list[int]] = {name: [] for name in NAMES}
    for offset in range(start, upto):
        match log[offset]:
            case Held(name):
                found[name].append(offset)
            case HandedOn(name, until):
                found[name] = [one for one in found[name] if one >= min(until, offset)]
            case None:
                pass
    return found


def feed(fold: HeldFold, log: list[Entry], start: int, end: int) -> None:
    known = still_held(log, 0)
    for offset in range(start, end):
        match log[offset]:
            case Held(name):
                fold.held(offset, name)
            case HandedOn(name, until):
                known = still_held(log, offset)
                count = sum(1 for one in known[name] if one < until)
                fold.handed_on(offset, name, until, count)
            case None:
                fold.skip(offset)


def stretches(fold: HeldFold, name: str) -> list[Stretch]:
    return fold.image().get(name, [])


def check_covers(fold: HeldFold, expected: dict[str, list[int]]) -> None:
    for name, offsets in expected.items():
        found = stretches(fold, name)
        assert bool(found) == bool(offsets)
        for offset in offsets:
            assert any(one.first <= offset <= one.last for one in found)
        for one in found:
            assert one.last in offsets
            assert one.first <= one.last
        # What is read again: from the first stretch on, everything held, in order.
        position, seen = 0, list[int]()
        while (stretch := fold.next_of(name, position)) is not None:
            seen += [offset for offset in offsets if stretch.first <= offset <= stretch.last]
            position = stretch.last + 1
        assert seen == offsets
    assert fold.oldest <= min((min(some) for some in expected.values() if some), default=fold.next_offset)


@given(log=logs, gap=st.integers(0, 8))
def test_the_fold_covers_exactly_what_is_held(log: list[Entry], gap: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "GAP", gap)
        patch.setattr(held, "STRETCHES_MAX", 4)
        fold = HeldFold()
        feed(fold, log, 0, len(log))
    expected = still_held(log, len(log))
    check_covers(fold, expected)
    assert fold.counts() == {name: len(some) for name, some in expected.items() if some}


@given(log=logs, data=st.data())
def test_reading_stretches_again_changes_nothing(log: list[Entry], data: st.DataObject) -> None:
    fold, once = HeldFold(), HeldFold()
    feed(once, log, 0, len(log))
    for _ in range(4):
        start = data.draw(st.integers(0, fold.next_offset))
        end = data.draw(st.integers(start, len(log)))
        feed(fold, log, start, end)
    feed(fold, log, fold.next_offset, len(log))
    assert fold.image() == once.image()


@given(log=logs, data=st.data())
@example(log=[Held(NAMES[0]), Held(NAMES[0]), HandedOn(NAMES[0], 1)], data=None)
def test_a_fold_restored_from_any_image_after_any_trimming_covers_what_is_held(
    log: list[Entry], data: st.DataObject | None
) -> None:
    """A zombie's old image, and a log trimmed as far as a newer one allowed."""
    old_at = data.draw(st.integers(0, len(log))) if data else 0
    new_at = data.draw(st.integers(old_at, len(log))) if data else len(log)
    old, new = HeldFold(), HeldFold()
    feed(old, log, 0, old_at)
    feed(new, log, 0, new_at)
    log_start = data.draw(st.integers(0, new.oldest)) if data else new.oldest
    fold = HeldFold.restored(old.image(), old.next_offset, log_start)
    assert fold.next_offset >= log_start
    feed(fold, log, fold.next_offset, len(log))
    check_covers(fold, still_held(log, len(log)))


def test_a_million_jobs_of_one_subject_are_one_stretch() -> None:
    fold = HeldFold()
    for offset in range(0, 1_000_000, 2):
        fold.held(offset, NAMES[0])
        fold.skip(offset + 1)
    assert stretches(fold, NAMES[0]) == [Stretch(0, 999_998, 500_000)]


def test_jobs_scattered_however_far_take_bounded_memory() -> None:
    fold = HeldFold()
    for offset in range(0, 1_000_000, 100):
        fold.held(offset, NAMES[0])
    found = stretches(fold, NAMES[0])
    assert len(found) <= held.STRETCHES_MAX
    assert (found[0].first, found[-1].last, fold.counts()[NAMES[0]]) == (0, 999_900, 10_000)


def test_a_job_held_after_the_last_word_is_held_again() -> None:
    fold = HeldFold()
    fold.held(0, NAMES[0])
    fold.handed_on(1, NAMES[0], 1, 1)
    assert fold.oldest == 2
    fold.held(2, NAMES[0])
    assert fold.next_of(NAMES[0], 0) == Stretch(2, 2, 1)
    assert fold.oldest == 2
