"""Follow ``jobs.outcomes``: what executors saw becomes the running means the score uses."""

import asyncio

from core.log import TopicPartition
from core.run_times import Completed, RunTimes
from ports.log import PartitionReader
from schemas.codec import decode_outcome
from schemas.topics import RouteMap

HISTORY_RECORDS = 20_000
"""Sketches read back per partition at start; older ones have decayed to nothing."""
POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""


class Learner:
    """Keeps ``RunTimes`` up to date; a late or missing sketch costs accuracy, never a job."""

    def __init__(self, reader: PartitionReader, routes: RouteMap, run_times: RunTimes) -> None:
        self._reader = reader
        self._routes = routes
        self._run_times = run_times

    async def start(self) -> None:
        """Begin with the newest stretch of every partition, whoever owns it."""
        partitions = [TopicPartition(self._routes.outcomes, p) for p in range(self._routes.partitions)]
        starts = await self._reader.start_offsets(partitions)
        ends = await self._reader.end_offsets(partitions)
        await self._reader.assign({tp: max(starts[tp], ends[tp] - HISTORY_RECORDS) for tp in partitions})

    async def run(self, stopping: asyncio.Event) -> None:
        """Take in sketches until ``stopping``."""
        while not stopping.is_set():
            for record in await self._reader.poll(POLL_S):
                sketch = decode_outcome(record)
                self._run_times.add(Completed(sketch.type, sketch.succeeded, sketch.run_ms / 1000))
