"""Follows ``control`` for what operators order: one watch, whatever service needs it."""

import asyncio
from collections.abc import Callable

from core.log import TopicPartition
from ports.log import PartitionReader
from schemas.standing_orders import StandingOrders
from schemas.topics import RouteMap

POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""


class ControlWatch:
    """Keeps ``orders`` up to date.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, reader: PartitionReader, routes: RouteMap) -> None:
        self.orders = StandingOrders()
        self._reader = reader
        self._control = TopicPartition(routes.control, 0)
        self._changed: list[Callable[[], None]] = []

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have this called whenever an order was read."""
        self._changed.append(changed)

    async def start(self) -> None:
        """Read everything there is: whoever works on less would begin what is paused."""
        end = (await self._reader.end_offsets([self._control]))[self._control]
        await self._reader.assign(await self._reader.start_offsets([self._control]))
        while self._reader.position(self._control) < end:
            await self._read()

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until ``stopping``."""
        while not stopping.is_set():
            await self._read()

    async def _read(self) -> None:
        news = [self.orders.take(record) for record in await self._reader.poll(POLL_S)]
        if any(news):
            for changed in self._changed:
                changed()
