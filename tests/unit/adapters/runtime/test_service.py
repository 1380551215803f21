"""What every service process does before it connects."""

import gc
from collections.abc import Iterator

import pytest

from adapters.runtime.service import GC_THRESHOLDS, collect_seldom


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_garbage_is_looked_for_seldom_and_never_in_what_was_imported() -> None:
    tracked = len(gc.get_objects())

    collect_seldom()

    assert gc.isenabled()
    assert gc.get_threshold() == GC_THRESHOLDS
    assert len(gc.get_objects()) < tracked / 10


def test_cycles_are_still_found() -> None:
    collect_seldom()
    made: list[list[object]] = [[] for _ in range(2 * GC_THRESHOLDS[0])]
    collected = sum(one["collected"] for one in gc.get_stats())

    for one in made:
        one.append(one)
    del made, one
    kept: list[list[object]] = [[] for _ in range(2 * GC_THRESHOLDS[0])]

    assert sum(one["collected"] for one in gc.get_stats()) > collected
    assert kept
