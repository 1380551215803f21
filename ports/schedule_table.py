"""What the materializer writes about recurring schedules."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from ports.state_table import Move


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


class ScheduleTable(Protocol):
    """Rows of schedules and how far they are; errors as of ``ports.state_table.StateTable``."""

    async def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """Give the next offset of each partition of ``schedules``."""
        ...

    async def write_schedules(self, rows: ScheduleRows, moves: Mapping[int, Move]) -> None:
        """Merge rows and move the positions, in one transaction. Repeated, it changes nothing more."""
        ...
