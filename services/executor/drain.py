"""Drain: stop claiming when an operator asks, and hand back what is left when the process ends."""

import asyncio
import logging

from core.log import TopicPartition
from ports.log import PartitionReader
from schemas.codec import decode_control
from schemas.control import DrainRecord
from schemas.topics import RouteMap
from services.executor.leased import Leased

logger = logging.getLogger(__name__)

POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed: the member leaves its group only after it."""


class DrainWatch:
    """Follows ``control`` for drain records that name this instance."""

    def __init__(self, reader: PartitionReader, routes: RouteMap, leased: Leased, instance: str) -> None:
        self._reader = reader
        self._routes = routes
        self._leased = leased
        self._instance = instance

    async def run(self, stopping: asyncio.Event) -> None:
        """Obey until ``stopping``; the newest record for this instance holds, also one from before."""
        control = TopicPartition(self._routes.control, 0)
        starts = await self._reader.start_offsets([control])
        await self._reader.assign(starts)
        while not stopping.is_set():
            for record in await self._reader.poll(POLL_S):
                if not (record.key or b"").startswith(b"drain/") or record.value is None:
                    continue
                message = decode_control(record)
                if isinstance(message, DrainRecord) and message.instance == self._instance:
                    self._obey(message)

    def _obey(self, message: DrainRecord) -> None:
        if message.draining != self._leased.draining:
            logger.info("%s %s", self._instance, "drains" if message.draining else "claims again")
        self._leased.draining = message.draining
