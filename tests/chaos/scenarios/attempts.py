"""Attempts as the effects show them while a fault is being done: which run, and where."""

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import LiteralString

from adapters.embedded.process_mark import ProcessMark, is_running, mark_of
from tests.chaos.effects import number_of_effects
from tests.chaos.rig.process import NotInTimeError, wait_until
from tests.chaos.scenario import FaultDidNotBiteError, Field

LOOK_EVERY_S = 0.1
BUSY_TIMEOUT_S = 30.0
BACK_TIMEOUT_S = 60.0
_RUNNING: LiteralString = """
    select count(*) from effects as began where kind = 'start' and pid = any(%s) and not exists
    (select from effects as ended where ended.kind = 'end' and ended.job_id = began.job_id
    and ended.dispatch = began.dispatch and ended.pid = began.pid)"""
_STARTED: LiteralString = "select count(*) from effects where kind = 'start' and pid = any(%s)"


def workers_of(field: Field, name: str) -> list[ProcessMark]:
    """Give the live workers of an executor."""
    marks = [mark_of(pid) for pid in field.stack.services.worker_pids(name)]
    return [mark for mark in marks if mark is not None]


def wait_busy(field: Field, name: str, at_least: int = 1) -> list[ProcessMark]:
    """Return the workers of an executor as soon as so many attempts run in them.

    Raises
    ------
    FaultDidNotBiteError
        They never did; a fault would have hit nothing.
    """
    marks: list[ProcessMark] = []

    def is_busy() -> bool:
        marks[:] = workers_of(field, name)
        return bool(marks) and _count(field, _RUNNING, [mark.pid for mark in marks]) >= at_least

    try:
        wait_until(is_busy, f"{name} runs {at_least} attempts", BUSY_TIMEOUT_S, LOOK_EVERY_S)
    except NotInTimeError as error:
        raise FaultDidNotBiteError(str(error)) from error
    return marks


def wait_working_again(field: Field, name: str, but: Collection[ProcessMark]) -> None:
    """Return once an attempt started in a worker of an executor that is none of ``but``."""

    def works() -> bool:
        fresh = [mark.pid for mark in workers_of(field, name) if mark not in but]
        return bool(fresh) and _count(field, _STARTED, fresh) > 0

    wait_until(works, f"{name} runs attempts again", BACK_TIMEOUT_S, LOOK_EVERY_S)


def wait_gone(marks: Collection[ProcessMark], what: str, timeout_s: float) -> None:
    """Return once none of these processes runs any more."""
    wait_until(lambda: not any(is_running(mark) for mark in marks), what, timeout_s)


@contextmanager
def stopped(pids: Collection[int]) -> Iterator[None]:
    """Let processes run no instruction; those that are gone afterwards are skipped."""
    frozen: list[ProcessMark] = []
    try:
        for pid in pids:
            mark = mark_of(pid)
            if mark is not None:
                os.kill(pid, signal.SIGSTOP)
                frozen.append(mark)
        yield
    finally:
        for mark in frozen:
            if is_running(mark):
                os.kill(mark.pid, signal.SIGCONT)


def _count(field: Field, query: LiteralString, pids: list[int]) -> int:
    return number_of_effects(field.stack.effects_url, query, pids)
