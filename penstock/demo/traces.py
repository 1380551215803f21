"""Reading recorded workloads as jobs to run, lazily: a file of any size costs the memory of one row."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from adapters.recordings.rows import Format, Row, open_trace


class RecordedEnd(Enum):
    """How a recorded job or attempt ended."""

    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    EVICTED = "evicted"
    UNKNOWN = "unknown"
    """Still open at the end of the recording, or its record is missing."""


@dataclass(frozen=True, slots=True)
class TraceJob:
    """One recorded row.

    Attributes
    ----------
    submit_s
        Seconds since the trace's own zero.
    run_s
        Recorded run time; 0 for a job that was never started, None when it did not end within the recording.
    user, type
        As recorded, not yet fit for the job contract.
    urgency
        0 (least) to 3, the recorded scheduling class; None when there is none.
    """

    submit_s: float
    run_s: float | None
    end: RecordedEnd
    user: str
    type: str
    urgency: int | None


def read_trace(path: Path) -> Iterator[TraceJob]:
    """Give the rows in the file's order.

    Raises
    ------
    TraceFormatError
        The file is missing or damaged, of another format, or a row cannot be read.
    """
    trace = open_trace(path)
    yield from map(_google_job if trace.format is Format.GOOGLE else _swf_job, trace.rows)


def _google_job(row: Row) -> TraceJob:
    submit_ms = row.number("submit_ms")
    start_ms, end_ms = row.number_or_none("sched_ms"), row.number_or_none("end_ms")
    return TraceJob(
        submit_s=submit_ms / 1000,
        run_s=_google_run_s(row, start_ms, end_ms),
        end=_google_end(row),
        user=row.text("user"),
        type=f"google.type-{row.text('type')}" if "type" in row.place else "google.task",
        urgency=row.number("cls") if "cls" in row.place else None,
    )


def _google_run_s(row: Row, start_ms: int | None, end_ms: int | None) -> float | None:
    if end_ms is None:
        return None
    if start_ms is None:
        return 0.0
    if end_ms < start_ms:
        raise row.error("end_ms", f"{end_ms} is before sched_ms {start_ms}")
    return (end_ms - start_ms) / 1000


def _google_end(row: Row) -> RecordedEnd:
    match row.text("end"):
        case "FINISH":
            return RecordedEnd.FINISHED
        case "FAIL":
            return RecordedEnd.FAILED
        case "KILL":
            return RecordedEnd.KILLED
        case "EVICT":
            return RecordedEnd.EVICTED
        case "LOST" | "":
            return RecordedEnd.UNKNOWN
        case other:
            raise row.error("end", f"{other!r} is none of FINISH, FAIL, KILL, EVICT, LOST or blank")


def _swf_job(row: Row) -> TraceJob:
    # -1 is the format's "unknown"; a job without run time was cancelled in the queue.
    return TraceJob(
        submit_s=row.number("submit"),
        run_s=max(0.0, row.number("run")),
        end=_swf_end(row),
        user=row.text("user"),
        type=_swf_type(row),
        urgency=None,
    )


def _swf_type(row: Row) -> str:
    executable = row.text("executable")
    return f"swf.app-{executable}" if executable != "-1" else f"swf.queue-{row.text('queue')}"


def _swf_end(row: Row) -> RecordedEnd:
    match row.text("status"):
        case "1" | "2" | "3":
            return RecordedEnd.FINISHED
        case "0" | "4":
            return RecordedEnd.FAILED
        case "5":
            return RecordedEnd.KILLED
        case "-1":
            return RecordedEnd.UNKNOWN
        case other:
            raise row.error("status", f"{other!r} is none of -1 to 5")
