"""What of a folded batch is new to the table, how far it moves, and when to try again. Pure."""

from collections.abc import Callable, Iterable, Mapping

from core.ledger.fold import LedgerFold
from core.ledger.notes import Accepted
from core.ledger.verdicts import Cancel
from core.rows_table import Table, empty_table, gather
from ports.state_table import Move, TableUnusableError
from schemas.ledger import FoldedEvent

RETRY_BASE_S = 0.1
RETRY_CAP_S = 5.0
"""A database that comes back is noticed within this."""


class TableBehindError(TableUnusableError):
    """The table lacks records that were folded and forgotten already; only a fresh start has them."""


def rows_from(events: Iterable[FoldedEvent], positions: Mapping[int, int]) -> Table:
    """Gather the rows of the events that are not in the table yet.

    Parameters
    ----------
    positions
        Per partition the next offset of the table.
    """
    table = empty_table()
    gather(table, (event for event in events if event.offset >= positions[event.partition]))
    return table


def moves_of(
    starts: Mapping[int, int], ends: Mapping[int, int], positions: Mapping[int, int]
) -> dict[int, Move]:
    """Give how far each partition moves; nothing for one whose table is as far or further.

    Parameters
    ----------
    starts, ends
        Per partition of the batch its first offset, and the offset after its last.
    positions
        Per partition the next offset of the table.

    Raises
    ------
    TableBehindError
        A table's position lies before the batch: it was restored from a backup or emptied.
    """
    for partition, start in starts.items():
        if positions[partition] < start:
            raise TableBehindError(
                f"the table ends at offset {positions[partition]} of ledger partition {partition}, but "
                f"everything below {start} was folded already; starting over from the log fills it"
            )
    return {
        partition: Move(positions[partition], end)
        for partition, end in ends.items()
        if end > positions[partition]
    }


def unnamed_cancels(
    events: Iterable[FoldedEvent], fold_of: Callable[[int], LedgerFold]
) -> set[tuple[int, str]]:
    """Give partition and id of jobs that a cancel by id alone waits for and these events speak of.

    A cancel may stand before or behind what tells the origin of its job; either says that the table may
    know both now.
    """
    found: set[tuple[int, str]] = set()
    for event in events:
        said = event.event
        if not isinstance(said, Accepted | Cancel) or (isinstance(said, Cancel) and said.origin):
            continue
        if said.job_id in fold_of(event.partition).cancelled_ahead:
            found.add((event.partition, said.job_id))
    return found


def named_cancels(cancels: Mapping[str, Cancel], fold: LedgerFold) -> list[Cancel]:
    """Give those cancels, by origin, that the fold remembers without knowing which job they end."""
    return [
        cancel
        for origin, cancel in cancels.items()
        if cancel.job_id in fold.cancelled_ahead and origin not in fold.open and not fold.is_done(origin)
    ]


def retry_delay_s(failures: int) -> float:
    """Give the pause after so many failures in a row: doubling, capped.

    Without jitter: a handful of writers does not stampede.
    """
    return min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(failures - 1, 16))
