"""The lease the workers of a pool live under."""

import asyncio
import time


class WorkerLease:
    """Until when the kernel lets the workers live; none before the first renewal and after a lapse."""

    def __init__(self) -> None:
        self.until_s: float | None = None
        """Second of CLOCK_BOOTTIME; None while there is no lease to end."""
        self._news = asyncio.Event()

    def renew(self, until_s: float) -> None:
        """Let it last until then."""
        self.until_s = until_s
        self._news.set()

    def end(self) -> None:
        """Have none: what lived under it is being killed."""
        self.until_s = None
        self._news.set()

    async def settled(self) -> None:
        """Wait while the lease is over and nobody has said what follows.

        A worker started then would be killed for the old lease, by its timer or with the others.
        """
        while self.until_s is not None and self.until_s <= time.clock_gettime(time.CLOCK_BOOTTIME):
            self._news.clear()
            await self._news.wait()
