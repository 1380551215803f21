"""What every service process does before it connects, and when it fails."""

import gc
import subprocess
import sys
import textwrap
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


def test_a_service_that_failed_says_why_and_ends_though_a_task_of_it_does_not() -> None:
    """A library may hold on to its tasks: the feature fold stood still for hours, alive and doing nothing."""
    script = textwrap.dedent(
        """
        import asyncio, sys
        from adapters.runtime import service
        from adapters.runtime.settings import ServiceSettings

        async def stubborn():
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass

        async def fails(*_):
            sys.stubborn = asyncio.create_task(stubborn())
            await asyncio.sleep(0)
            raise RuntimeError("the stream stopped")

        service._live = fails
        service.CLEAN_UP_S = 0.2
        service.exit_with("features", ServiceSettings(), None)
        """
    )
    done = subprocess.run((sys.executable, "-c", script), check=False, timeout=30, capture_output=True)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 1
    assert "features stopped by an unexpected error" in said
    assert "the stream stopped" in said
    assert "leaving" in said
