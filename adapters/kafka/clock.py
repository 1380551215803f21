"""The broker's time, as every decision about due times needs it."""

import time

STEP_BACK_MS = 10.0
"""How far an estimate that was ahead is put below the latest it can be: more than a record usually takes
to the broker, so that it is not ahead again, and little, so that nothing is late for it."""


class BrokerClock:
    """Estimates the broker's clock from append times and the monotonic time since.

    Never ahead of the broker while both clocks go at one rate: an append time is read no earlier than it
    was made, so what is estimated to be due is due. Behind by at most the answer time of one request.
    ``CLOCK_BOOTTIME`` goes on during suspend, ``time.monotonic`` does not; where nobody corrects it, it may
    gain 0.1 s an hour, and every append sets the estimate back to within its own answer time. Wall clocks
    of services play no part.
    """

    def __init__(self) -> None:
        self._base_ms: float | None = None

    def observe(self, timestamp_ms: int, sent_ms: float | None = None) -> None:
        """Take in the append time of a record this process has just seen acknowledged or read.

        The largest estimate wins, since an old record read late says nothing new, unless an append of our
        own shows that it is ahead: then the broker's clock, or ours, has moved.

        Parameters
        ----------
        sent_ms
            ``boot_ms`` before the record was sent, of one that was acknowledged.
        """
        least_ms = timestamp_ms - boot_ms()
        if self._base_ms is None or least_ms > self._base_ms:
            self._base_ms = least_ms
        elif sent_ms is not None:
            # Append times are whole milliseconds, rounded down.
            most_ms = timestamp_ms + 1 - sent_ms
            if self._base_ms > most_ms:
                self._base_ms = max(least_ms, most_ms - STEP_BACK_MS)

    @property
    def is_set(self) -> bool:
        """Whether any append time was seen yet."""
        return self._base_ms is not None

    def now_ms(self) -> int:
        """Give the broker's time, milliseconds since 1970.

        Raises
        ------
        RuntimeError
            Nothing was observed yet: append something first (services announce themselves).
        """
        if self._base_ms is None:
            raise RuntimeError("the broker's time is not known before the first append")
        return int(self._base_ms + boot_ms())


def boot_ms() -> float:
    """Milliseconds of the clock that the estimate goes on by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
