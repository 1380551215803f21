"""Whose turn a start is: the best, or now and then the oldest, whatever any score says."""

from collections.abc import Callable

from core.head_order import Turn
from core.learning.law import OrderLaw
from core.learning.starts import turn
from services.executor.held import Held, WaitingJob


class StartTurns:
    """Follows the guard of the law in force; one of an executor, for its own queue.

    Parameters
    ----------
    slots
        Of this executor.
    now_ms
        Broker time.
    """

    def __init__(
        self, law: Callable[[], OrderLaw], held: Held, slots: int, now_ms: Callable[[], int]
    ) -> None:
        self._law = law
        self._held = held
        self._slots = slots
        self._now_ms = now_ms
        self._started = 0
        self._oldest = 0
        """Slots that run what was the oldest, with what was taken since ``begin``."""
        self._begun_ms = 0

    def begin(self) -> None:
        """Begin a round of starts."""
        self._oldest = self._held.count_oldest()
        self._begun_ms = self._now_ms()

    def whose(self, oldest_ready_ms: int) -> Turn:
        """See ``core.head_order.Turns``."""
        waited_s = (self._begun_ms - oldest_ready_ms) / 1000
        return turn(self._law().guard, self._slots, self._oldest, self._started, waited_s)

    def took(self, item: WaitingJob, *, is_oldest: bool) -> None:
        """See ``core.head_order.Turns``."""
        item.is_oldest = is_oldest
        self._started += 1
        self._oldest += is_oldest
