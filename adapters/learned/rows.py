"""Decisions and what became of them, in order of time, and what of that was known at a cut."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.learning.events import Status
from core.learning.features import COLUMN
from ports.models import Column, Vectors

NOT_ENDED = -1
"""Stands in ``ended_ms`` of a dispatch that has not ended."""


@dataclass(frozen=True)
class Rows:
    """Decisions and what became of them; all arrays (n_rows,) in order of decision, times in ms since 1970.

    Attributes
    ----------
    vectors
        As logged when the decision was made.
    decided_ms, started_ms
        When it was scored, and when it began to run; of one that has not, when it was scored.
    ended_ms
        ``NOT_ENDED`` for what has not.
    run_ms
        How long it ran, its limit at most.
    status
        ``core.learning.events.Status``; anything for what has not ended.
    """

    vectors: Vectors
    decided_ms: NDArray[np.int64]
    started_ms: NDArray[np.int64]
    ended_ms: NDArray[np.int64]
    run_ms: NDArray[np.int64]
    status: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.decided_ms)


class Known(NamedTuple):
    """What a cut knows: rows, and the label of each."""

    rows: NDArray[np.int64]
    """Places in ``Rows``, rising."""
    log_run: Column
    failed: Column


def known_at(rows: Rows, cut_ms: int, begin_ms: int = 0, *, limit_ms: int) -> tuple[Known, Known]:
    """Give the training sets of (run time, failure) for a model made at ``cut_ms``.

    What ended before the cut has its label. Run times of what still runs are not dropped, for what runs
    long is missing first: they count as the larger of how long they have run and what the running mean
    expected, the limit at most. Whether they fail is not known: the second set is without them.
    """
    decided = np.flatnonzero((rows.decided_ms >= begin_ms) & (rows.decided_ms < cut_ms))
    ended = (rows.ended_ms[decided] != NOT_ENDED) & (rows.ended_ms[decided] < cut_ms)
    so_far_ms = np.clip(cut_ms - rows.started_ms[decided], 0, limit_ms)
    expected = rows.vectors[decided, COLUMN["expected_run"]]
    at_least = np.minimum(np.maximum(np.log1p(so_far_ms), expected), math.log1p(limit_ms))
    ran = np.log1p(np.minimum(rows.run_ms[decided], limit_ms))
    log_run = np.where(ended, ran, at_least).astype(np.float32)
    failed = (rows.status[decided] == Status.FAILED).astype(np.float32)
    return Known(decided, log_run, failed), Known(decided[ended], log_run[ended], failed[ended])
