"""The broker's time, as every decision about due times needs it."""

import time


class BrokerClock:
    """Estimates the broker's clock from append times and the monotonic time since.

    Never ahead of the broker: an append time is read no earlier than it was made, so what is
    estimated to be due is due. Behind by at most the answer time of one request. Wall clocks of
    services play no part. ``CLOCK_BOOTTIME`` goes on during suspend, ``time.monotonic`` does not.
    """

    def __init__(self) -> None:
        self._base_ms: float | None = None

    def observe(self, timestamp_ms: int) -> None:
        """Take in the append time of a record this process has just seen acknowledged or read.

        The largest estimate wins: an old record read late says nothing new.
        """
        base_ms = timestamp_ms - time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
        if self._base_ms is None or base_ms > self._base_ms:
            self._base_ms = base_ms

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
        return int(self._base_ms + time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)
