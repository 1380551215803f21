"""What a worker process adds to tasks is measured on real worker processes."""

import os

import pytest

from benchmarks import handlers
from benchmarks.handlers import ALLOW_PRIVATE, measure_handlers
from benchmarks.pipeline import BenchmarkError
from benchmarks.tasks import NOOP, PLAIN


async def test_every_kind_of_task_runs_and_its_own_time_is_left_out() -> None:
    before = dict(os.environ)
    found = {one.task: one for one in await measure_handlers(40)}
    assert list(found) == [NOOP, PLAIN, "http.request"]
    for one in found.values():
        assert 0 < one.added_ms.p50 <= one.added_ms.p99
        assert one.cpu_us > 0
    # Only a webhook costs its own work, too.
    assert found["http.request"].cpu_us > found[NOOP].cpu_us
    assert dict(os.environ) == before
    assert ALLOW_PRIVATE not in before


async def test_a_task_that_fails_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "PLAIN", "bench.flaky")
    with pytest.raises(BenchmarkError, match=r"bench\.flaky failed: .*the first attempt always fails"):
        await measure_handlers(10)
