"""Recordings as columns."""

from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.learned.rows import NOT_ENDED
from adapters.recordings.jobs import COLUMNS, Integers, RecordedJobs
from adapters.recordings.rows import Format, Row, Trace, TraceFormatError, open_trace
from core.learning.events import Status

GOOGLE_ZERO_MS = 1_304_290_200_000
"""600 s before Sunday 2011-05-01 19:00 US/Eastern, which the documentation of the trace gives for 600 s."""
GOOGLE_LIMIT_MS = 2 * 3_600_000
SWF_LIMIT_MS = 7 * 86_400_000
"""Longer than any run of the logs at hand: nothing is cut off."""
_GOOGLE_ENDS = {
    "FINISH": Status.OK,
    "FAIL": Status.FAILED,
    "KILL": Status.CANCELLED,
    "EVICT": Status.LOST,
    "LOST": Status.LOST,
    "": Status.LOST,
}
_SWF_ENDS = {1: Status.OK, 0: Status.FAILED, 5: Status.FAILED}
"""5 is cancelled by the format; the log of SDSC-SP2 says so of whatever did not complete."""
_BEGAN = "; UnixStartTime:"
Values = tuple[int, ...]


class Recording(NamedTuple):
    """A decoded file."""

    table: Integers
    """(n_columns, n_jobs) in order of submission, times from zero; blank times are ``NOT_ENDED``."""
    zero_ms: int
    limit_ms: int

    @property
    def jobs(self) -> RecordedJobs:
        """The columns, with times since 1970."""
        return of_table(self.table, self.zero_ms, self.limit_ms)


def decoded(path: Path) -> Recording:
    """Read jobs or attempts of the Google cluster trace of 2011, or a log in the Standard Workload Format.

    In a log, a job's type is what it asked for (processors and time), so (tenant, type) is its finest key.

    Raises
    ------
    TraceFormatError
        See ``open_trace``.
    """
    trace = open_trace(path)
    if trace.format is Format.GOOGLE:
        return Recording(_table(path, trace, _google), GOOGLE_ZERO_MS, GOOGLE_LIMIT_MS)
    zero_ms = _swf_zero_ms(path, trace)
    return Recording(_table(path, trace, _swf), zero_ms, SWF_LIMIT_MS)


def of_table(table: Integers, zero_ms: int, limit_ms: int) -> RecordedJobs:
    """Make jobs of a table (n_columns, n_jobs) with times from zero; blank times are ``NOT_ENDED``."""
    columns = dict(zip(COLUMNS, table, strict=True))
    for name in ("submitted_ms", "started_ms", "ended_ms"):
        times = columns[name]
        columns[name] = np.where(times == NOT_ENDED, NOT_ENDED, times + zero_ms)
    ended = columns["ended_ms"] != NOT_ENDED
    columns["run_ms"] = np.where(ended, np.minimum(columns["run_ms"], limit_ms), limit_ms)
    return RecordedJobs(zero_ms, limit_ms, **columns)


def _table(path: Path, trace: Trace, values_of: Callable[[Iterator[Row]], Iterator[Values]]) -> Integers:
    rows = sorted(values_of(trace.rows), key=itemgetter(0))
    if not rows:
        raise TraceFormatError(f"{path} holds no jobs")
    return np.array(rows, dtype=np.int64).T


def _google(rows: Iterator[Row]) -> Iterator[Values]:
    for row in rows:
        start, end = row.number_or_none("sched_ms"), row.number_or_none("end_ms")
        how = row.text("end")
        if how not in _GOOGLE_ENDS:
            raise row.error("end", f"{how!r} is none of {', '.join(filter(None, _GOOGLE_ENDS))} or blank")
        if start is not None and end is not None and end < start:
            raise row.error("end_ms", f"{end} is before sched_ms {start}")
        # Attempts are alike by the job they belong to.
        of_type = "type" if "type" in row.place else "job"
        yield (
            row.number("submit_ms"),
            NOT_ENDED if start is None else start,
            NOT_ENDED if end is None else end,
            end - start if start is not None and end is not None else 0,
            _GOOGLE_ENDS[how],
            _label(row.number("user")),
            _label(row.number(of_type)) if of_type in row.place else 0,
            _label(row.number("name")) if "name" in row.place else 0,
            row.number("cls") if "cls" in row.place else 0,
            0,
            0,
        )


def _label(number: int) -> int:
    # 0 stands for a job without one.
    return number + 1 if number >= 0 else number


def _swf_zero_ms(path: Path, trace: Trace) -> int:
    for line in trace.comments:
        if line.startswith(_BEGAN):
            return int(line.split(":")[1]) * 1000
    raise TraceFormatError(
        f"{path.name}: no line 'UnixStartTime' before its first row, so nobody knows which hour and weekday "
        f"its jobs came at; add one, such as '{_BEGAN} 893466664'"
    )


def _swf(rows: Iterator[Row]) -> Iterator[Values]:
    types: dict[tuple[int, int], int] = {}
    for row in rows:
        run_s = row.number("run")
        if run_s < 0:
            continue
        submit_ms = row.number("submit") * 1000
        start_ms = submit_ms + max(0, row.number("wait")) * 1000
        asked = (row.number("processors"), row.number("asked"))
        yield (
            submit_ms,
            start_ms,
            start_ms + run_s * 1000,
            run_s * 1000,
            _SWF_ENDS.get(row.number("status"), Status.LOST),
            _label(row.number("user")),
            types.setdefault(asked, len(types) + 1),
            0,
            row.number("queue"),
            max(0, asked[1]),
            max(0, asked[0]),
        )
