"""The step that fires, alone; walks through crashes stand in ``tests/property/test_schedule_walks.py``."""

import pytest

from schemas.schedules import Defined, Plan
from tests.support.schedule_world import START_MS, Log, Operator, Process, tick_of


def define(log: Log, operator: Operator, name: str, plan: Plan) -> None:
    operator.create(Defined(name, f"of-{name}", 1, plan))


def turns(process: Process, count: int) -> None:
    done = 0
    while done < count:
        done += process.step()


def test_a_due_tick_becomes_a_job_and_only_then_counts_as_fired() -> None:
    log = Log()
    operator = Operator(log)
    define(log, operator, "a", operator.plan(every_ms=1000, anchor_ms=START_MS))
    process = Process(log, 0)
    turns(process, 2)
    assert log.jobs == []
    log.now_ms += 999
    turns(process, 2)
    assert log.jobs == []
    log.now_ms += 1
    fired_before = len(log.jobs)
    while len(log.jobs) == fired_before:
        process.step()
    view = operator.view("a")
    assert view is not None
    assert view.fired.fired == 0
    turns(process, 2)
    view = operator.view("a")
    assert view is not None
    assert (view.fired.fired, view.fired.last_ms) == (1, START_MS + 1000)
    assert view.fired.next_ms == START_MS + 2000
    assert [tick_of(job) for job in log.jobs] == [START_MS + 1000]


def test_what_cannot_be_computed_holds_up_no_other() -> None:
    log = Log()
    operator = Operator(log)
    define(log, operator, "far", operator.plan(cron="* * * * *", zone="Mars/Olympus"))
    define(log, operator, "near", operator.plan(every_ms=1000, anchor_ms=START_MS))
    log.now_ms += 1000
    process = Process(log, 0)
    turns(process, 4)
    assert [job["labels"]["schedule"] for job in log.jobs] == ["near"]


def test_after_a_long_absence_the_latest_fires_and_the_log_says_what_was_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log()
    operator = Operator(log)
    define(log, operator, "a", operator.plan(every_ms=60_000, anchor_ms=START_MS))
    log.now_ms += 3_600_000
    turns(Process(log, 0), 3)
    assert [tick_of(job) for job in log.jobs] == [START_MS + 3_600_000]
    assert "ticks since 2026-03-29T00:31:00Z were missed" in caplog.text
