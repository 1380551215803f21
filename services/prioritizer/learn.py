"""Follow ``jobs.outcomes``: what executors saw becomes running means, and trust in models."""

import asyncio

from core.learning.events import Kind, Status
from core.learning.trust import Seen, Trusts
from core.log import TopicPartition
from core.run_times import Completed, RunTimes
from ports.feature_view import FeatureView
from ports.log import PartitionReader
from schemas.codec import decode_outcome
from schemas.outcomes import OutcomeBatch, partition_of, told_ms
from schemas.topics import RouteMap

HISTORY_RECORDS = 2_000
"""Reports read back per partition at start, a second each; older ones have decayed to nothing."""
POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""


class Learner:
    """Keeps ``RunTimes`` and trust up to date; a late or missing report costs accuracy, never a job."""

    def __init__(
        self,
        reader: PartitionReader,
        routes: RouteMap,
        run_times: RunTimes,
        features: FeatureView,
        trusts: Trusts,
    ) -> None:
        self._reader = reader
        self._routes = routes
        self._run_times = run_times
        self._features = features
        self._trusts = trusts

    async def start(self) -> None:
        """Begin with the newest stretch of every partition, whoever owns it."""
        count = self._routes.learning_partitions
        partitions = [TopicPartition(self._routes.outcomes, p) for p in range(count)]
        starts = await self._reader.start_offsets(partitions)
        ends = await self._reader.end_offsets(partitions)
        await self._reader.assign({tp: max(starts[tp], ends[tp] - HISTORY_RECORDS) for tp in partitions})

    async def run(self, stopping: asyncio.Event) -> None:
        """Take in reports until ``stopping``."""
        while not stopping.is_set():
            for record in await self._reader.poll(POLL_S):
                batch = decode_outcome(record)
                self._features.told(record.partition, told_ms(batch, record.timestamp_ms))
                for completed in completions(batch, record.partition, self._routes):
                    self._run_times.add(completed)
                for run in batch.seen:
                    self._trusts.of(run.model).saw(Seen(run.by_model, run.by_mean, run.run))


def completions(batch: OutcomeBatch, partition: int, routes: RouteMap) -> list[Completed]:
    """Give what succeeded by type, each job where its type is at home: other partitions tell it again."""
    found: list[Completed] = []
    for history in batch.histories:
        type_key = history.subject.keys[Kind.TYPE]
        if partition_of(type_key, routes.learning_partitions) != partition:
            continue
        runs_ms = [end.run_ms for end in history.ends if end.status is Status.OK]
        if runs_ms:
            found.append(Completed(history.subject.type, len(runs_ms), sum(runs_ms) / 1000))
    return found
