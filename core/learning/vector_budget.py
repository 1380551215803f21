"""Which feature vectors are logged: all up to a rate, above it a share that depends on names alone."""

import zlib

WINDOW_MS = 1000


class VectorBudget:
    """Keeps the number of logged vectors near a rate.

    Whether a dispatch is among them is a hash of its name, so what is logged is a fair sample of all
    dispatches of that second, and a repeated hand-over logs the same.

    Parameters
    ----------
    per_s
        Vectors a second; 0 logs none.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._window = -1
        self._now = 0
        self._before = 0

    def share(self, jobs: int, now_ms: int) -> float:
        """Take in that so many dispatches are scored now; give the share of them to log."""
        window = now_ms // WINDOW_MS
        if window != self._window:
            self._before = self._now if window == self._window + 1 else 0
            self._now = 0
            self._window = window
        self._now += jobs
        if not self._per_s:
            return 0.0
        return min(1.0, self._per_s / max(1, self._now, self._before))


def is_in_share(origin: str, n: int, share: float) -> bool:
    """Whether a dispatch is among that share of all."""
    return zlib.crc32(f"{origin}/{n}".encode()) < share * 2**32
