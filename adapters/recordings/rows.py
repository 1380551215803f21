"""Rows of recorded workloads: Google 2011 CSV and the Standard Workload Format, packed or not.

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
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

_XZ_MAGIC = b"\xfd7zXZ\x00"
_GZIP_MAGIC = b"\x1f\x8b"
_BZIP2_MAGIC = b"BZh"
_MAGIC_BYTES = 6
_SWF_FIELDS = 18
_GOOGLE_NEEDS = ("submit_ms", "sched_ms", "end_ms", "end", "user")
_SWF_PLACE = {
    "submit": 1,
    "wait": 2,
    "run": 3,
    "processors": 7,
    "asked": 8,
    "status": 10,
    "user": 11,
    "executable": 13,
    "queue": 14,
}
"""Fields of the Standard Workload Format, counted from 0."""
_LINE_MAX_CHARS = 10_000
"""Longer than any line of a trace; a binary file is refused instead of read whole."""
Lines = Iterator[tuple[int, str]]


class TraceFormatError(Exception):
    """The file is no trace that can be read; the message names the line and the field."""


class Format(Enum):
    """What a file is written in."""

    GOOGLE = "Google 2011"
    SWF = "Standard Workload Format"


@dataclass(frozen=True, slots=True)
class Row:
    """One row with its place in the file, for messages."""

    path: Path
    line: int
    values: list[str]
    place: dict[str, int]

    def text(self, name: str) -> str:
        """Give a field as it stands there."""
        return self.values[self.place[name]].strip()

    def number(self, name: str) -> int:
        """Give a whole number that must be there."""
        found = self.number_or_none(name)
        if found is None:
            raise self.error(name, "is blank")
        return found

    def number_or_none(self, name: str) -> int | None:
        """Give a whole number; None for a blank."""
        text = self.text(name)
        if not text:
            return None
        try:
            # Digits only: float() would take "nan", which compares with nothing.
            return int(text)
        except ValueError:
            raise self.error(name, f"{text!r} is not a whole number") from None

    def error(self, name: str, what: str) -> TraceFormatError:
        """Make the error that says what is wrong with a field."""
        return TraceFormatError(f"{self.path}, line {self.line}, field {name}: {what}")


class Trace(NamedTuple):
    """An opened file."""

    format: Format
    columns: frozenset[str]
    """Fields that its rows have."""
    comments: list[str]
    """Lines before the first row."""
    rows: Iterator[Row]
    """In the file's order; damage shows when it is reached."""


def open_trace(path: Path) -> Trace:
    """Find out the format.

    Raises
    ------
    TraceFormatError
        The file is missing, damaged or empty, or of another format; ``rows`` raises it for what comes later.
    """
    lines = _lines(path)
    first = next(lines, None)
    while first is not None and not first[1].strip():
        first = next(lines, None)
    if first is None:
        raise TraceFormatError(f"{path} is empty")
    number, text = first
    if text.startswith(";") or _is_swf_row(text):
        comments, begun = _comments(first, lines)
        return Trace(Format.SWF, frozenset(_SWF_PLACE), comments, _swf_rows(path, begun))
    columns = text.strip().split(",")
    missing = [name for name in _GOOGLE_NEEDS if name not in columns]
    if missing:
        raise TraceFormatError(
            f"{path}, line {number}: neither a Google 2011 header (missing: {', '.join(missing)}) nor the "
            f"Standard Workload Format (comments begin with ';', rows have {_SWF_FIELDS} numbers)"
        )
    return Trace(Format.GOOGLE, frozenset(columns), [], _google_rows(path, columns, lines))


def _lines(path: Path) -> Lines:
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


def _google_rows(path: Path, columns: list[str], lines: Lines) -> Iterator[Row]:
    place = {name: index for index, name in enumerate(columns)}
    for number, text in lines:
        if not text.strip():
            continue
        values = text.rstrip("\r\n").split(",")
        if len(values) != len(columns):
            raise TraceFormatError(
                f"{path}, line {number}: {len(values)} fields, but the header has {len(columns)}"
            )
        yield Row(path, number, values, place)


def _is_swf_row(text: str) -> bool:
    fields = text.split()
    return len(fields) == _SWF_FIELDS and all(field.lstrip("-").isdigit() for field in fields[:4])


def _comments(first: tuple[int, str], rest: Lines) -> tuple[list[str], Lines]:
    comments: list[str] = []
    for number, text in chain([first], rest):
        if text.strip() and not text.startswith(";"):
            return comments, chain([(number, text)], rest)
        comments.append(text)
    return comments, iter(())


def _swf_rows(path: Path, lines: Lines) -> Iterator[Row]:
    for number, text in lines:
        values = text.partition(";")[0].split()
        if not values:
            continue
        if len(values) != _SWF_FIELDS:
            raise TraceFormatError(
                f"{path}, line {number}: {len(values)} fields instead of the {_SWF_FIELDS} of a row"
            )
        yield Row(path, number, values, _SWF_PLACE)
