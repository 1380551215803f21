"""What a fold knows at one offset, apart from the fold: what a snapshot is made of."""

from dataclasses import dataclass
from typing import NamedTuple

from core.ledger.finished import FinishedJobs
from core.ledger.open_job import OpenJob


class CancelMark(NamedTuple):
    """Where and when a cancel stands that found no open job."""

    offset: int
    timestamp_ms: int
    """Broker time; the cancel is forgotten by the times of later records."""


@dataclass(frozen=True)
class LedgerImage:
    """The state of a ledger partition after everything below ``next_offset``.

    A function of that prefix alone: whoever made it, it is as good as any other. Read only while
    the fold it was taken of goes on.
    """

    epoch: str
    next_offset: int
    version: int
    """Of the rules that hold from ``next_offset`` on."""
    finished: FinishedJobs
    cancels: dict[str, CancelMark]
    """By job id, oldest first."""
    open: dict[str, OpenJob]
    """By origin text."""
    by_job_id: dict[str, str]
    """Job id to the origin of the open job that a cancel by id concerns."""
