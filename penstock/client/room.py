"""The bound on what a client keeps in memory until Kafka has acknowledged it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from enum import StrEnum

from penstock.client.errors import Backpressure

BUFFER_MAX_BYTES = 67_108_864
"""About 200,000 jobs of 300 bytes: more than a broker takes in a second, and nothing to a producer."""


class OnFull(StrEnum):
    """What a submit does when the buffer has no room."""

    WAIT = "wait"
    """Wait for room, as long as the buffer empties at all."""
    RAISE = "raise"
    """Raise ``Backpressure`` at once, for callers that would rather shed load or slow their source."""


class Room:
    """Bytes of submits under way, at most ``max_bytes``; who waits for room gets it in order of asking.

    A submit larger than the whole buffer gets in alone, or it could never.
    """

    def __init__(self, max_bytes: int, on_full: OnFull) -> None:
        self._max_bytes = max_bytes
        self._on_full = on_full
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._left = 0
        self.used_bytes = 0
        """Held by submits under way."""

    @contextlib.asynccontextmanager
    async def held(self, size_bytes: int, timeout_s: float) -> AsyncIterator[None]:
        """Hold room for the length of the block.

        Raises
        ------
        Backpressure
            There is none; or, for who waits, no submit under way ended within ``timeout_s``.
        """
        if self._waiting or not self._fits(size_bytes):
            await self._wait(size_bytes, timeout_s)
        else:
            self.used_bytes += size_bytes
        try:
            yield
        finally:
            self.used_bytes -= size_bytes
            self._left += 1
            self._let_in()

    def _fits(self, size_bytes: int) -> bool:
        return self.used_bytes == 0 or self.used_bytes + size_bytes <= self._max_bytes

    async def _wait(self, size_bytes: int, timeout_s: float) -> None:
        if self._on_full is OnFull.RAISE:
            raise Backpressure(self._full())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size_bytes, turn)
        self._waiting.append(entry)
        try:
            await self._until(turn, timeout_s)
        except BaseException:
            if turn.done():
                self.used_bytes -= size_bytes
            else:
                self._waiting.remove(entry)
            self._let_in()
            raise

    async def _until(self, turn: asyncio.Future[None], timeout_s: float) -> None:
        while not turn.done():
            left = self._left
            await asyncio.wait([turn], timeout=timeout_s)
            if self._left == left and not turn.done():
                raise Backpressure(f"{self._full()} (no submit ended within {timeout_s:g} s)")

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size_bytes, turn = self._waiting.popleft()
            self.used_bytes += size_bytes
            turn.set_result(None)

    def _full(self) -> str:
        return (
            f"nothing was sent: {self.used_bytes} bytes wait for Kafka's acknowledgement already, "
            f"{self._max_bytes} may (`buffer_max_bytes`); repeat the call later"
        )
