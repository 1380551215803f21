"""Events come in order of time, and processors do what they are given, no more at once than there are."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale.engine import Clock, Cores, Process


def test_what_is_due_at_one_time_happens_in_the_order_it_was_asked_for() -> None:
    clock, seen = Clock(), list[str]()
    for delay_s, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        clock.after(delay_s, partial(seen.append, name))
    clock.run(1.5)
    assert (seen, clock.now_s) == (["a", "b"], 1.5)
    clock.run(10.0)
    assert seen == ["a", "b", "c"]


@given(st.lists(st.floats(0.0001, 0.1), min_size=1, max_size=40), st.integers(1, 4))
def test_no_work_is_lost_and_none_is_done_faster_than_there_are_processors(
    costs_s: list[float], number: int
) -> None:
    clock = Clock()
    process, ended = Process(Cores(clock, number)), list[float]()
    for cost_s in costs_s:
        process.work(cost_s, lambda: ended.append(clock.now_s))
    clock.run(1e6)
    assert len(ended) == len(costs_s)
    assert process.busy_s == pytest.approx(sum(costs_s))
    least_s = max(sum(costs_s) / number, *costs_s)
    assert least_s * (1 - 1e-9) <= max(ended) <= sum(costs_s) / number + max(costs_s) + 1e-9


def test_short_work_does_not_wait_for_the_whole_of_long_work() -> None:
    clock, ended = Clock(), dict[str, float]()
    cores = Cores(clock, 1, slice_s=0.004)
    cores.work(0.001, lambda: ended.update(first=clock.now_s))
    cores.work(1.0, lambda: ended.update(long=clock.now_s))
    cores.work(0.002, lambda: ended.update(short=clock.now_s))
    clock.run(10.0)
    assert ended["short"] == pytest.approx(0.007)
    assert ended["long"] == pytest.approx(1.003)
