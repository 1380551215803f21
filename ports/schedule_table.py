"""What the materializer writes about recurring schedules."""

from typing import NamedTuple


class DefinedRow(NamedTuple):
    """A definition, or that it is deleted."""

    name: str
    incarnation: str
    version: int
    state: str
    at_ms: int
    """Append time; of two about one schedule the later holds."""
    by: str
    ticks: str | None = None
    zone: str | None = None
    tenant: str | None = None
    type: str | None = None
    pool: str | None = None
    catch_up: str | None = None
    overlap: str | None = None
    definition: str | None = None
    """JSON, masked."""
    next_ms: int | None = None


class FiredRow(NamedTuple):
    """How far an incarnation has fired; of two the further holds."""

    name: str
    incarnation: str
    through_ms: int
    last_ms: int | None
    next_ms: int | None
    fired: int
    at_ms: int
    """Append time: the next tick is that of the definition before it."""


class ScheduleRows(NamedTuple):
    """What a batch says; definitions are written first."""

    defined: list[DefinedRow]
    fired: list[FiredRow]
