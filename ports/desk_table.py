"""What the materializer writes about the dead-letter desk."""

from typing import NamedTuple


class DeskActRow(NamedTuple):
    """An act has begun."""

    act: str
    what: str
    said_ms: int
    """Append time."""
    said_by: str
    filter: str | None
    reason: str | None
    found: int
    rate_per_s: float | None
    edit: str | None


class DeskLetterRow(NamedTuple):
    """A dead letter that an act is about."""

    act: str
    job_id: str
    n: int
    what: str
    at_ms: int


class DeskEndRow(NamedTuple):
    """An act is over."""

    act: str
    outcome: str
    words: str | None
    ended_ms: int


class DeskRows(NamedTuple):
    """What a batch says."""

    acts: list[DeskActRow]
    letters: list[DeskLetterRow]
    ends: list[DeskEndRow]
