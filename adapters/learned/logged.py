"""Decisions as they were logged: rows to train on, and what was said of them at the time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.learned.rows import NOT_ENDED, Rows
from core.learning.events import Status
from core.learning.measures import Floats


@dataclass(frozen=True)
class Logged:
    """All arrays (n_rows,), in order of decision.

    Attributes
    ----------
    tenants, pools
        Equal numbers are of one tenant; ``pool_names[number]`` is a pool's name.
    log_run, failed
        What the champion said when the row was scored; NaN where it was not asked.
    """

    rows: Rows
    tenants: NDArray[np.int64]
    pools: NDArray[np.int64]
    pool_names: tuple[str, ...]
    log_run: Floats
    failed: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def has_ended(self) -> NDArray[np.bool_]:
        """Which have ended."""
        ended: NDArray[np.bool_] = self.rows.ended_ms != NOT_ENDED
        return ended

    @property
    def has_failed(self) -> NDArray[np.bool_]:
        """Which have ended by failing."""
        failed: NDArray[np.bool_] = self.has_ended & (self.rows.status == Status.FAILED)
        return failed


def of_rows(rows: Rows, tenants: NDArray[np.int64]) -> Logged:
    """Make it of rows that no model was asked about, and no pool is known of: a replay's."""
    nothing = np.full(len(rows), np.nan)
    return Logged(rows, tenants, np.zeros(len(rows), np.int64), (), nothing, nothing)
