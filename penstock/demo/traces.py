"""Reading recorded workloads: Google 2011 CSV and the Standard Workload Format, packed or not.

Both formats are told apart by content, never by file name, and read lazily: a file of any size costs
the memory of one row.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

_XZ_MAGIC = b"\xfd7zXZ\x00"
_GZIP_MAGIC = b"\x1f\x8b"
_BZIP2_MAGIC = b"BZh"
_MAGIC_BYTES = 6
_SWF_FIELDS = 18
_GOOGLE_NEEDS = ("submit_ms", "sched_ms", "end_ms", "end", "user")
_LINE_MAX_CHARS = 10_000
"""Longer than any line of a trace; a binary file is refused instead of read whole."""


class TraceFormatError(Exception):
    """The file is no trace that can be replayed; the message names the line and the field."""


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
    lines = _lines(path)
    first = next(lines, None)
    while first is not None and not first[1].strip():
        first = next(lines, None)
    if first is None:
        raise TraceFormatError(f"{path} is empty")
    number, text = first
    if text.startswith(";") or _is_swf_row(text):
        yield from _read_swf(path, first, lines)
        return
    columns = text.strip().split(",")
    missing = [name for name in _GOOGLE_NEEDS if name not in columns]
    if missing:
        raise TraceFormatError(
            f"{path}, line {number}: neither a Google 2011 header (missing: {', '.join(missing)}) nor the "
            f"Standard Workload Format (comments begin with ';', rows have {_SWF_FIELDS} numbers)"
        )
    yield from _read_google(path, columns, lines)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Unpack by the first bytes and give numbered lines; a damaged archive is named by line."""
    number = 0
    try:
        with path.open("rb") as raw, _unpacked(raw) as unpacked:
            text = io.TextIOWrapper(unpacked, encoding="utf-8", errors="replace", newline="\n")
            while line := text.readline(_LINE_MAX_CHARS):
                number += 1
                if len(line) == _LINE_MAX_CHARS:
                    raise TraceFormatError(f"{path}, line {number}: longer than any line of a trace")
                yield number, line
    except OSError as error:
        # Damage in a gzip file is an OSError as well, without an errno.
        what = error.strerror or str(error)
        raise TraceFormatError(f"{path}, after line {number}: cannot be read: {what}") from error
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise TraceFormatError(f"{path}, after line {number}: the archive is damaged: {error}") from error


def _unpacked(raw: BinaryIO) -> BinaryIO | gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File:
    magic = raw.read(_MAGIC_BYTES)
    raw.seek(0)
    if magic == _XZ_MAGIC:
        return lzma.LZMAFile(raw)
    if magic.startswith(_GZIP_MAGIC):
        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(_BZIP2_MAGIC):
        return bz2.BZ2File(raw)
    return raw


def _read_google(path: Path, columns: list[str], lines: Iterator[tuple[int, str]]) -> Iterator[TraceJob]:
    place = {name: index for index, name in enumerate(columns)}
    for number, text in lines:
        if not text.strip():
            continue
        values = text.rstrip("\r\n").split(",")
        if len(values) != len(columns):
            raise TraceFormatError(
                f"{path}, line {number}: {len(values)} fields, but the header has {len(columns)}"
            )
        row = _Row(path, number, values, place)
        submit_ms = row.number("submit_ms")
        start_ms, end_ms = row.number_or_none("sched_ms"), row.number_or_none("end_ms")
        yield TraceJob(
            submit_s=submit_ms / 1000,
            run_s=_google_run_s(row, start_ms, end_ms),
            end=_google_end(row),
            user=row.text("user"),
            type=f"google.type-{row.text('type')}" if "type" in place else "google.task",
            urgency=int(row.number("cls")) if "cls" in place else None,
        )


def _google_run_s(row: "_Row", start_ms: float | None, end_ms: float | None) -> float | None:
    if end_ms is None:
        return None
    if start_ms is None:
        return 0.0
    if end_ms < start_ms:
        raise row.error("end_ms", f"{end_ms:.0f} is before sched_ms {start_ms:.0f}")
    return (end_ms - start_ms) / 1000


def _google_end(row: "_Row") -> RecordedEnd:
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


_SWF_PLACE = {"submit": 1, "run": 3, "status": 10, "user": 11, "executable": 13, "queue": 14}
"""Fields of the Standard Workload Format, counted from 0."""


def _is_swf_row(text: str) -> bool:
    fields = text.split()
    return len(fields) == _SWF_FIELDS and all(field.lstrip("-").isdigit() for field in fields[:4])


def _read_swf(path: Path, first: tuple[int, str], lines: Iterator[tuple[int, str]]) -> Iterator[TraceJob]:
    for number, text in _and_then(first, lines):
        content = text.partition(";")[0]
        values = content.split()
        if not values:
            continue
        if len(values) != _SWF_FIELDS:
            raise TraceFormatError(
                f"{path}, line {number}: {len(values)} fields instead of the {_SWF_FIELDS} of a row"
            )
        row = _Row(path, number, values, _SWF_PLACE)
        # -1 is the format's "unknown"; a job without run time was cancelled in the queue.
        yield TraceJob(
            submit_s=row.number("submit"),
            run_s=max(0.0, row.number("run")),
            end=_swf_end(row),
            user=row.text("user"),
            type=_swf_type(row),
            urgency=None,
        )


def _swf_type(row: "_Row") -> str:
    executable = row.text("executable")
    return f"swf.app-{executable}" if executable != "-1" else f"swf.queue-{row.text('queue')}"


def _swf_end(row: "_Row") -> RecordedEnd:
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


def _and_then(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


@dataclass(frozen=True, slots=True)
class _Row:
    """One row with its place in the file, for messages."""

    path: Path
    line: int
    values: list[str]
    place: dict[str, int]

    def text(self, name: str) -> str:
        return self.values[self.place[name]].strip()

    def number(self, name: str) -> float:
        found = self.number_or_none(name)
        if found is None:
            raise self.error(name, "is blank")
        return found

    def number_or_none(self, name: str) -> float | None:
        text = self.text(name)
        if not text:
            return None
        try:
            # Digits only: float() would take "nan", which compares with nothing.
            return float(int(text))
        except ValueError:
            raise self.error(name, f"{text!r} is not a whole number") from None

    def error(self, name: str, what: str) -> TraceFormatError:
        return TraceFormatError(f"{self.path}, line {self.line}, field {name}: {what}")
