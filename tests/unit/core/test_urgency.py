"""The urgency of those that wait, kept up to date one by one, against looking at all of them."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from core.urgency import Urgency, Waiters, worth_a_copy

HOUR_MS = 3_600_000
URGENCIES = st.builds(Urgency, st.integers(0, 9), st.none() | st.integers(0, 20))


@given(st.lists(URGENCIES, max_size=30), st.data())
def test_the_most_urgent_is_that_of_all_who_wait(urgencies: Sequence[Urgency], data: st.DataObject) -> None:
    waiters, there = Waiters(), list[Urgency]()
    for urgency in urgencies:
        waiters.add(urgency)
        there.append(urgency)
        if data.draw(st.booleans()):
            waiters.remove(there.pop(data.draw(st.integers(0, len(there) - 1))))
        deadlines = [one.deadline_ms for one in there if one.deadline_ms is not None]
        most = Urgency(max(one.priority for one in there), min(deadlines, default=None)) if there else None
        assert waiters.most() == most


def test_only_a_deadline_that_gives_a_head_start_now_is_worth_another_copy() -> None:
    known = Urgency(5)
    assert worth_a_copy(known, Urgency(3, HOUR_MS), 0) is None
    assert worth_a_copy(known, Urgency(3, HOUR_MS - 600_000), 0) == Urgency(5, HOUR_MS - 600_000)
    assert worth_a_copy(Urgency(5, HOUR_MS // 2), Urgency(5, HOUR_MS // 2 - 1), 0) is None
    assert worth_a_copy(known, Urgency(5, 3), HOUR_MS) == Urgency(5, HOUR_MS)
    assert worth_a_copy(Urgency(5, HOUR_MS), Urgency(5, 3), HOUR_MS) is None
    assert worth_a_copy(known, Urgency(6, 2 * HOUR_MS), 0) == Urgency(6)


def test_what_is_gained_is_nothing_when_all_of_it_was_there() -> None:
    assert Urgency(5, 9).gains(Urgency(4)) is None
    assert Urgency(5, 9).gains(None) is None
    assert Urgency(5, 9).gains(Urgency(4, 8)) == Urgency(5, 8)
    assert Urgency(5).gains(Urgency(6, 8)) == Urgency(6, 8)
