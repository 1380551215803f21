"""Let the ledger rest while no gated job is about: it is then read in stretches, not record by record."""

from collections.abc import Sequence
from enum import Enum, auto

from core.log import Record

REST_MS = 250
"""How long it is not read; a resumed partition may wait for the running long poll (500 ms) besides."""
LINGER_MS = 5000
"""After anything gated was seen, the ledger is read as it comes for so long: where ordered jobs flow, none of
them waits for a rest."""
DRAINED_RECORDS = 1000
"""A batch with more of the ledger says that there is more: no rest."""


class Switch(Enum):
    """What to do about the partitions of the ledger."""

    PAUSE = auto()
    RESUME = auto()
    LEAVE = auto()


class LedgerRest:
    """Says when the ledger rests.

    Its records wake the scheduler for every step of every job, and concern gated jobs alone. Reading what
    came in a quarter of a second at once costs a fraction of that.
    """

    def __init__(self, ledger: str) -> None:
        self._ledger = ledger
        self._gated_ms = -LINGER_MS
        self._resting_ms: int | None = None
        """Since when."""

    def over(self) -> None:
        """Note that nothing is paused: the partitions were shared out anew."""
        self._resting_ms = None

    def ends_ms(self) -> int | None:
        """Broker time at which it is to be read again; None when it does not rest."""
        return None if self._resting_ms is None else self._resting_ms + REST_MS

    def after(self, followed: Sequence[Record], gated: int, now_ms: int) -> Switch:
        """Say what follows from one turn.

        Parameters
        ----------
        followed
            What was read of the ledger and of gates.
        gated
            Gated jobs that have not ended, as far as they are known here.
        """
        of_ledger = sum(record.topic == self._ledger for record in followed)
        if gated or of_ledger < len(followed):
            self._gated_ms = now_ms
        is_quiet = now_ms - self._gated_ms >= LINGER_MS
        if self._resting_ms is not None:
            if is_quiet and now_ms < self._resting_ms + REST_MS:
                return Switch.LEAVE
            self._resting_ms = None
            return Switch.RESUME
        if is_quiet and 0 < of_ledger < DRAINED_RECORDS:
            self._resting_ms = now_ms
            return Switch.PAUSE
        return Switch.LEAVE
