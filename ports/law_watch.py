"""Follows ``models`` for the costs of pools alone: for who orders what was scored, and scores nothing."""

import asyncio
from collections.abc import Callable

from core.learning.spread import Spread
from ports.log import PartitionReader
from schemas.model_book import ModelBook
from schemas.models import place_of_models
from schemas.topics import RouteMap

POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""


class LawWatch:
    """Keeps the laws of pools up to date; late news costs order, never a job.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, reader: PartitionReader, routes: RouteMap) -> None:
        self._reader = reader
        self._place = place_of_models(routes)
        self._book = ModelBook()
        self._changed: list[Callable[[], None]] = []

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have this called whenever a law may be another."""
        self._changed.append(changed)

    def law(self, pool: str) -> Spread | None:
        """Give the range of costs of a pool; None: not known, or models are disabled."""
        return self._book.law(pool)

    async def start(self) -> None:
        """Begin at the oldest record; nobody waits until all is read."""
        await self._reader.assign(await self._reader.start_offsets([self._place]))

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until ``stopping``."""
        while not stopping.is_set():
            news = [self._book.take(record) for record in await self._reader.poll(POLL_S)]
            if any(news):
                for changed in self._changed:
                    changed()
