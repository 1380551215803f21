"""Recorded attempts of tasks that failed, and the failures after which they were tried again."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.recordings.rows import open_trace
from core.retrying.bins import Floats, Vector
from core.retrying.choice import Subject
from core.retrying.features import Failure, features
from core.retrying.standing import Standings, Tried

SIZE_UNIT = 1e6
"""Requests for disk are shares of the largest machine: what one millionth is called a byte."""


class Ending(Enum):
    """How an attempt ended, as recordings spell it."""

    WORKED = "FINISH"
    FAILED = "FAIL"
    KILLED = "KILL"
    EVICTED = "EVICT"
    LOST = "LOST"
    OPEN = ""


class Attempt(NamedTuple):
    """One attempt; times in ms since the recording began, None where not seen."""

    job: int
    task: int
    number: int
    submitted_ms: int
    started_ms: int | None
    ended_ms: int | None
    ending: Ending
    user: int
    priority: int
    size: int

    @property
    def run_s(self) -> float:
        """How long it ran; NaN where not seen."""
        if self.started_ms is None or self.ended_ms is None:
            return nan
        return (self.ended_ms - self.started_ms) / 1000

    @property
    def subject(self) -> Subject:
        """Attempts are alike by the job they belong to."""
        return Subject(str(self.user), str(self.job))


@dataclass(frozen=True)
class Retries:
    """Failures that were followed by another attempt, in order of time; all (n_failures,) at first.

    Attributes
    ----------
    vectors
        (n_failures, n_features) float32, as known when the next attempt was submitted.
    at_ms, ended_ms
        Submission of that attempt, and its end; -1 where it has none.
    resolved
        It ended by itself: it worked, or failed.
    hours
        How long it ran, in hours of a machine.
    run_s
        Mean of the task's failed attempts so far.
    failures
        Of the task so far.
    task, job, user
        Numbers, equal for equal ones.
    """

    vectors: Vector
    at_ms: NDArray[np.int64]
    ended_ms: NDArray[np.int64]
    resolved: NDArray[np.bool_]
    worked: NDArray[np.bool_]
    hours: Floats
    run_s: Floats
    failures: NDArray[np.int64]
    task: NDArray[np.int64]
    job: NDArray[np.int64]
    user: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at_ms)


def attempts_in(path: Path) -> list[Attempt]:
    """Read the attempts of a recording.

    Raises
    ------
    TraceFormatError
        It is no recording that can be read.
    """
    return [
        Attempt(
            row.number("job"),
            row.number("task"),
            row.number("attempt"),
            row.number("submit_ms"),
            row.number_or_none("sched_ms"),
            row.number_or_none("end_ms"),
            Ending(row.text("end")),
            row.number("user"),
            row.number("prio"),
            round(float(row.text("disk") or 0) * SIZE_UNIT),
        )
        for row in open_trace(path).rows
    ]


class _Asked(NamedTuple):
    failed: list[Attempt]
    """Of the task so far, the newest last."""
    after: Attempt


def retries_of(attempts: Iterable[Attempt]) -> Retries:
    """Fold all ends in order of time, and ask before each attempt that follows a failure."""
    ends, asked = _told(attempts)
    standings = Standings()
    rows: list[tuple[_Asked, Vector]] = []
    told = 0
    for ask in asked:
        while told < len(ends) and ends[told][0] < ask.after.submitted_ms:
            at_ms, subject, worked, is_retry = ends[told]
            standings.add(subject, Tried(at_ms / 1000, worked, is_retry))
            told += 1
        rows.append((ask, features(_failure(ask), standings.of(ask.after.subject))))
    return _table(rows)


def _told(attempts: Iterable[Attempt]) -> tuple[list[tuple[int, Subject, bool, bool]], list[_Asked]]:
    """Give what ended by itself, and what is asked; both in order of time."""
    by_task: dict[tuple[int, int], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_task[attempt.job, attempt.task].append(attempt)
    ends: list[tuple[int, Subject, bool, bool]] = []
    asked: list[_Asked] = []
    for of_task in by_task.values():
        of_task.sort(key=lambda attempt: attempt.number)
        failed: list[Attempt] = []
        for before, after in pairwise([None, *of_task]):
            assert after is not None
            is_retry = before is not None and before.ending is Ending.FAILED
            if before is not None and is_retry:
                failed = [*failed, before]
                asked.append(_Asked(failed, after))
            if after.ended_ms is not None and after.ending in {Ending.WORKED, Ending.FAILED}:
                ends.append((after.ended_ms, after.subject, after.ending is Ending.WORKED, is_retry))
    return sorted(ends), sorted(asked, key=lambda ask: (ask.after.submitted_ms, ask.after[:3]))


def _failure(ask: _Asked) -> Failure:
    runs = [attempt.run_s for attempt in ask.failed]
    known = [run_s for run_s in runs if not isnan(run_s)]
    at_ms = ask.after.submitted_ms
    return Failure(
        failures=len(ask.failed),
        attempt=ask.after.number,
        age_s=(at_ms - (ask.failed[0].ended_ms or at_ms)) / 1000,
        now_s=at_ms / 1000,
        run_s=runs[-1],
        previous_run_s=runs[-2] if len(runs) > 1 else nan,
        mean_run_s=fmean(known) if known else nan,
        priority=ask.after.priority,
        payload_bytes=ask.after.size,
    )


def _table(rows: list[tuple[_Asked, Vector]]) -> Retries:
    after = [ask.after for ask, _ in rows]
    tasks: dict[tuple[int, int], int] = {}
    runs_s = [_failure(ask).mean_run_s for ask, _ in rows]
    return Retries(
        vectors=np.array([vector for _, vector in rows], np.float32),
        at_ms=np.array([one.submitted_ms for one in after]),
        ended_ms=np.array([-1 if one.ended_ms is None else one.ended_ms for one in after]),
        resolved=np.array([one.ending in {Ending.WORKED, Ending.FAILED} for one in after]),
        worked=np.array([one.ending is Ending.WORKED for one in after]),
        hours=np.nan_to_num(np.array([one.run_s for one in after])) / 3600,
        run_s=np.nan_to_num(np.array(runs_s)),
        failures=np.array([len(ask.failed) for ask, _ in rows]),
        task=np.array([tasks.setdefault(one[:2], len(tasks)) for one in after]),
        job=np.array([one.job for one in after]),
        user=np.array([one.user for one in after]),
    )
