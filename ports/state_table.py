"""What the materializer asks of the database that holds the state table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from core.rows_table import Table


class Move(NamedTuple):
    """How far one ledger partition gets with a batch: from ``old`` to ``new``, next offsets."""

    old: int
    new: int


class StateTable(Protocol):
    """Rows and how far they are, changed together or not at all."""

    async def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """Give the next offset of each partition; 0 for one that was never written.

        Raises
        ------
        TableUnusableError
            A person must look.
        TableUnavailableError
            The caller tries again later.
        """
        ...

    async def left_behind(self, partitions: Iterable[int]) -> dict[int, int]:
        """Give, of partitions that an older version went on with, the offset from which on it did.

        What an older version writes leaves out what only this one says of an event.

        Raises
        ------
        TableUnusableError
            A person must look.
        TableUnavailableError
            The caller tries again later.
        """
        ...

    async def go_back(self, offsets: Mapping[int, int]) -> None:
        """Set next offsets back. What is merged again from there on, in order, changes nothing that is whole.

        Raises
        ------
        TableUnusableError
            A person must look.
        TableUnavailableError
            The caller tries again later.
        """
        ...

    async def write(self, rows: Table, moves: Mapping[int, Move]) -> None:
        """Merge ``rows`` into the tables and move the positions, in one transaction.

        When it raises or is cancelled, all or nothing may have been written; ``positions`` tells.

        Raises
        ------
        OffsetsMovedError
            A position is not at its ``old``: nothing was written. The caller reads the positions
            again and goes on from there.
        TableUnavailableError
            The caller tries again later with the same batch.
        """
        ...


class CancelledRow(NamedTuple):
    """What the table knows of a job that somebody wants not to run."""

    job_id: str
    origin: str
    by: str
    reason: str


class CancelledRows(Protocol):
    """Tells which jobs cancels by id alone are about."""

    async def cancelled(self, job_ids: Sequence[str]) -> list[CancelledRow]:
        """Give those of the jobs whose origin is known.

        Raises
        ------
        TableUnusableError
            A person must look.
        TableUnavailableError
            The caller asks again later.
        """
        ...


class OffsetsMovedError(Exception):
    """Somebody else wrote these partitions (or an earlier try of our own did, unheard)."""


class TableUnusableError(Exception):
    """The database answers and cannot be used as it is; the message names the remedy."""


class TableUnavailableError(Exception):
    """The database does not answer or cannot take writes now; the message says why."""
