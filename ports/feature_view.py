"""What is known of tenants and types, for whoever decides: ``features``, read whole and followed."""

import asyncio
import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from core.learning.aggregates import KeyAggregates
from core.learning.events import Key
from core.learning.features import JobFacts, of_subject, with_job
from core.log import Record, TopicPartition
from ports.log import PartitionReader
from ports.meter import Meter, Metric
from schemas.accepted_job import AcceptedJob
from schemas.features import FoldProgress, KnownOfKey, read_feature, state_of
from schemas.outcomes import Subject
from schemas.topics import RouteMap

POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""


class _SubjectRow(NamedTuple):
    """What all decisions of a second about one tenant's type have in common."""

    states: tuple[KeyAggregates | None, ...]
    vector: "array[float]"


class FeatureView:
    """Keeps what was published, and says how far behind that is. Whoever decides goes on with what there is.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, reader: PartitionReader, routes: RouteMap, meter: Meter) -> None:
        self._reader = reader
        self._routes = routes
        self._meter = meter
        self._known: dict[Key, KnownOfKey] = {}
        self._states: dict[Key, KeyAggregates] = {}
        """Decoded when they are asked for: most keys change more often than that."""
        self._rows: dict[tuple[str, str], _SubjectRow] = {}
        """Of the second ``_rows_s``, until anything new is known."""
        self._rows_s = 0
        self._folded_ms: dict[int, int] = {}
        self._told_ms: dict[int, int] = {}

    async def start(self) -> None:
        """Begin at the oldest record; nobody waits until all is read."""
        count = self._routes.learning_partitions
        partitions = [TopicPartition(self._routes.features, number) for number in range(count)]
        await self._reader.assign(await self._reader.start_offsets(partitions))

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until ``stopping``."""
        while not stopping.is_set():
            self.take(await self._reader.poll(POLL_S))
            self._meter.gauge(Metric.FEATURE_KEYS, len(self._known))
            self._meter.gauge(Metric.FEATURE_LAG, self.lag_s)

    def take(self, records: Sequence[Record]) -> None:
        """Take in what was published."""
        for record in records:
            match read_feature(record):
                case FoldProgress() as progress:
                    self._folded_ms[record.partition] = progress.end_ms
                case (key, known):
                    before = self._known.get(key)
                    # A former owner may still publish what it knew.
                    if before is None or known.at_s >= before.at_s:
                        self._known[key] = known
                        self._states.pop(key, None)
                        self._rows.clear()
                case None:
                    pass

    def told(self, partition: int, end_ms: int) -> None:
        """Take in that ``jobs.outcomes`` holds a report of this time: it should be folded soon."""
        self._told_ms[partition] = max(end_ms, self._told_ms.get(partition, 0))

    @property
    def lag_s(self) -> float:
        """How much older what is known is than the newest report, on the partition that is worst, seconds.

        Infinite: there are reports, and nothing was ever published of them.
        """
        if self._told_ms.keys() - self._folded_ms.keys():
            return math.inf
        late_ms = [told - self._folded_ms[partition] for partition, told in self._told_ms.items()]
        return max(0, *late_ms, 0) / 1000

    def state(self, key: Key) -> KeyAggregates | None:
        """Give what is known of a key; None: nothing."""
        state = self._states.get(key)
        if state is None and (known := self._known.get(key)) is not None:
            state = self._states[key] = state_of(known)
        return state

    @property
    def knows(self) -> bool:
        """Whether anything was ever published."""
        return bool(self._known)

    def vectors(self, jobs: Sequence[AcceptedJob], t_ms: int) -> "list[array[float]]":
        """Compute the features of decisions about jobs, in the order given.

        Parameters
        ----------
        t_ms
            Broker time; what is known of a subject is computed as of its whole second, once.
        """
        if t_ms // 1000 != self._rows_s:
            self._rows.clear()
            self._rows_s = t_ms // 1000
        return [self._vector(job, t_ms) for job in jobs]

    def _vector(self, job: AcceptedJob, t_ms: int) -> "array[float]":
        row = self._rows.get((job.tenant, job.type))
        if row is None:
            states = tuple(self.state(key) for key in Subject(job.tenant, job.type).keys)
            row = _SubjectRow(states, of_subject(states, self._rows_s * 1000))
            self._rows[job.tenant, job.type] = row
        return with_job(row.vector, row.states, facts_of(job), t_ms)


def facts_of(job: AcceptedJob) -> JobFacts:
    """Give what a decision knows of the job itself."""
    return JobFacts(
        priority=job.priority,
        payload_bytes=len(job.payload),
        timeout_s=job.timeout_s,
        deadline_ms=job.deadline_ms,
        attempt=job.attempt,
    )
