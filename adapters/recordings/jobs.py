"""Recorded jobs as columns."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from adapters.learned.rows import NOT_ENDED

DAY_MS = 86_400_000
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class RecordedJobs:
    """Jobs in order of submission; all columns (n_jobs,) int64, times in ms since 1970.

    Attributes
    ----------
    began_ms
        Time zero of the recording: its days are counted from here.
    limit_ms
        Runs are cut off here: what ran longer, or had not ended, occupies a slot so long.
    started_ms, ended_ms
        ``NOT_ENDED`` where that was not seen.
    run_ms
        Up to ``limit_ms``; of what had not ended, the limit.
    status
        ``core.learning.events.Status``.
    tenant, type, name
        Numbers; equal for equal names. 0 where a recording has no names.
    timeout_s
        Asked for by the user; 0 where a recording does not say.
    payload_bytes
        The size of a job, in whatever unit a recording has; 0 for none.
    """

    began_ms: int
    limit_ms: int
    submitted_ms: Integers
    started_ms: Integers
    ended_ms: Integers
    run_ms: Integers
    status: Integers
    tenant: Integers
    type: Integers
    name: Integers
    priority: Integers
    timeout_s: Integers
    payload_bytes: Integers

    def __len__(self) -> int:
        return len(self.submitted_ms)

    def day(self, number: float) -> int:
        """Give the beginning of a day of the recording, ms since 1970."""
        return self.began_ms + round(number * DAY_MS)

    def between(self, begin_ms: int, end_ms: int) -> Integers:
        """Give the places of jobs submitted from ``begin_ms`` to before ``end_ms``."""
        first, last = np.searchsorted(self.submitted_ms, [begin_ms, end_ms])
        return np.arange(first, last)

    @property
    def has_ended(self) -> NDArray[np.bool_]:
        """Which of them ended within the recording."""
        ended: NDArray[np.bool_] = self.ended_ms != NOT_ENDED
        return ended


COLUMNS = tuple(field.name for field in fields(RecordedJobs) if field.name not in {"began_ms", "limit_ms"})
