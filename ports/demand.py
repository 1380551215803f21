"""Follows ``executors`` for what executors want of limited subjects."""

import asyncio
from collections.abc import Callable

from core.limits import DemandLog, Want
from core.log import TopicPartition
from ports.log import PartitionReader
from schemas.codec import decode_executor_if_known
from schemas.executors import Demand
from schemas.topics import RouteMap

POLL_S = 0.5
RECENT_RECORDS = 20_000
"""Read back at the start: far more than is said in the slots that count, by a thousand executors."""


class DemandWatch:
    """Keeps ``log`` up to date.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, reader: PartitionReader, routes: RouteMap) -> None:
        self.log = DemandLog()
        self._reader = reader
        self._topic = TopicPartition(routes.executors, 0)
        self._read: list[Callable[[], None]] = []
        self.is_known = False
        """Whether everything was read that there was at the start."""

    def on_read(self, read: Callable[[], None]) -> None:
        """Have this called after every batch."""
        self._read.append(read)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until ``stopping``."""
        end = (await self._reader.end_offsets([self._topic]))[self._topic]
        start = (await self._reader.start_offsets([self._topic]))[self._topic]
        await self._reader.assign({self._topic: max(start, end - RECENT_RECORDS)})
        while not stopping.is_set():
            for record in await self._reader.poll(POLL_S):
                # Heartbeats are long, and not looked at here.
                message = decode_executor_if_known(record) if record.header("kind") == b"DEMAND" else None
                if isinstance(message, Demand):
                    wants = {subject: Want(*fields) for subject, fields in message.wants.items()}
                    self.log.take(record.timestamp_ms, message.name, wants, leaving=message.leaving)
            self.is_known = self.is_known or self._reader.position(self._topic) >= end
            for read in self._read:
                read()
