"""Fetch queued dispatches of the owned partitions and keep them in head-start order."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from core.buckets import BUCKETS, bucket_head_start_s
from core.head_order import HeadOrder
from core.learning.law import OrderLaw
from core.log import Record, TopicPartition
from core.offsets import OffsetTracker
from ports.failpoints import Failpoint, reached
from ports.log import Assignment, Batch
from ports.meter import Metric
from schemas.codec import decode_queued
from services.executor.context import ExecutorContext
from services.executor.held import WaitingJob
from services.executor.sift import Parked, Parker, RoomLane, Sift
from services.executor.turns import StartTurns

POLL_S = 0.5
COMMIT_INTERVAL_S = 0.25
LANE_MAX_BYTES = 2_097_152
"""Most bytes fetched ahead per bucket and partition, give or take one poll; in memory about twice that."""

PARK_MAX = 1000
"""Dispatches held in one append."""


class Lanes(Protocol):
    """Where dispatches are fetched from: the part of a ``ports.log.GroupMember`` that is used here."""

    @property
    def assignment(self) -> Assignment:
        """The current assignment."""
        ...

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        """Give the next records of lanes that are not paused."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop giving records of these lanes."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Give records of these lanes again."""
        ...

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        """Commit next offsets; False when that must be tried again."""
        ...


class Fetcher:
    """Knows what waits here, and how far each execution topic is handled."""

    def __init__(
        self,
        member: Lanes,
        context: ExecutorContext,
        *,
        law: Callable[[], OrderLaw],
        lane_buffer: int,
        turns: StartTurns | None = None,
        sift: Sift | None = None,
        parker: Parker | None = None,
    ) -> None:
        self._member = member
        self._meter = context.meter
        self._pool = context.pool
        self._lane_buffer = lane_buffer
        self._bucket = {context.routes.execution(context.pool, bucket): bucket for bucket in range(BUCKETS)}
        self._law = law
        self._head_start_ms = head_starts_ms(law())
        self._turns = turns
        self._order: HeadOrder[WaitingJob] = HeadOrder()
        self._sift = sift
        self._parker = parker
        self._to_park: list[Parked] = []
        self._orders_changed = False
        self._trackers: dict[TopicPartition, OffsetTracker] = {}
        self._paused: set[TopicPartition] = set()
        self._bytes: Counter[TopicPartition] = Counter()
        self._uncommitted: set[TopicPartition] = set()
        self._committed_at_s = 0.0
        self.assignment = 0
        """Number of the assignment the waiting jobs were fetched under."""
        self.partitions: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self._order)

    async def run(
        self, stopping: asyncio.Event, arrived: Callable[[], None], reassigned: Callable[[], None]
    ) -> None:
        """Fetch until ``stopping``; call ``reassigned`` after a rebalance, ``arrived`` after records."""
        timeout_s = POLL_S
        while not stopping.is_set():
            batch = await self._member.poll(timeout_s)
            if self._member.assignment.number != self.assignment:
                self._follow_assignment()
                reassigned()
            if batch.assignment == self.assignment and batch.records:
                self._offer(batch.records)
                arrived()
            await self._park()
            self._pace(self._trackers)
            await self._commit()
            # What was read now is handled during the next wait: not committed soon, it would look stuck.
            timeout_s = COMMIT_INTERVAL_S if batch.records or self._uncommitted else POLL_S

    def take(self, wanted: int, fits: Callable[[WaitingJob], bool]) -> list[WaitingJob]:
        """Take the dispatches that should run next, at most ``wanted``."""
        is_open = self._sift.is_open if self._sift is not None else _always
        if self._turns is not None:
            self._turns.begin()
        taken = list(self._order.take(wanted, fits, is_open, self._turns))
        self._took(taken)
        if self._paused:
            self._pace({_lane(job.record) for job in taken} & self._trackers.keys())
        return taken

    def shed(self, is_over: Callable[[WaitingJob], bool]) -> None:
        """Let go of what is over at the front of a lane: others have claimed it, or it has ended."""
        shed = self._order.shed(is_over)
        self._took(shed)
        self.handled(shed)

    def _took(self, jobs: Iterable[WaitingJob]) -> None:
        for job in jobs:
            if job.limits and self._sift is not None:
                self._sift.leave(job)
            else:
                self._bytes[_lane(job.record)] -= len(job.record.value or b"")

    def handled(self, jobs: Iterable[WaitingJob]) -> None:
        """Note that these need no further reading: claimed, refused or closed. Committed a little later.

        A dispatch read again after a crash costs a look at the fold, which knows its claim.
        """
        for job in jobs:
            partition = _lane(job.record)
            tracker = self._trackers.get(partition)
            if tracker is not None:
                tracker.done(job.record.offset)
                self._uncommitted.add(partition)

    async def _commit(self) -> None:
        now_s = time.monotonic()
        if not self._uncommitted or now_s - self._committed_at_s < COMMIT_INTERVAL_S:
            return
        trackers = {partition: self._trackers[partition] for partition in self._uncommitted}
        positions = {
            partition: position
            for partition, tracker in trackers.items()
            if (position := tracker.position) is not None
        }
        self._committed_at_s = now_s
        # Before the wait: what is handled meanwhile must be committed next time.
        assignment, self._uncommitted = self.assignment, set()
        reached(Failpoint.WORKED, when=positions)
        if await self._member.commit(assignment, positions):
            reached(Failpoint.COMMITTED, when=positions)
        elif assignment == self.assignment:
            self._uncommitted |= positions.keys()

    def measure(self, now_ms: int) -> None:
        """Report what waits, by bucket."""
        for topic, bucket in self._bucket.items():
            lanes = [TopicPartition(topic, partition) for partition in self.partitions]
            heads = [head for lane in lanes if (head := self._order.oldest_ms(lane)) is not None]
            labels = {"pool": self._pool, "bucket": str(bucket)}
            self._meter.gauge(Metric.WAITING, sum(self._order.waiting(lane) for lane in lanes), **labels)
            age_s = max(0.0, (now_ms - min(heads)) / 1000) if heads else 0.0
            self._meter.gauge(Metric.OLDEST_WAITING, age_s, **labels)

    def _follow_assignment(self) -> None:
        """Forget what was fetched of partitions that are read from their committed offsets now."""
        assignment = self._member.assignment
        kept = assignment.kept_since(self.assignment)
        self.assignment, self.partitions = assignment.number, assignment.partitions
        for lane in [lane for lane in self._trackers if lane.partition not in kept]:
            self._took(self._dropped(lane))
            del self._trackers[lane], self._bytes[lane]
            self._paused.discard(lane)
        self._to_park = [one for one in self._to_park if _lane(one.waiting.record) in self._trackers]
        # What was handled during the rebalance could not be committed then.
        self._uncommitted = set(self._trackers)

    def _dropped(self, lane: TopicPartition) -> list[WaitingJob]:
        """Take everything out that was fetched from a lane."""
        rooms = [one for one in self._order.lanes() if isinstance(one, RoomLane) and one.lane == lane]
        return [job for place in (lane, *rooms) for job in self._order.drop(place)]

    def law_changed(self) -> None:
        """Order what waits by the law that holds now."""
        self._head_start_ms = head_starts_ms(self._law())
        for place in self._order.lanes():
            lane = place.lane if isinstance(place, RoomLane) else place
            if isinstance(lane, TopicPartition):
                self._order.set_head_start(place, self._head_start_ms[self._bucket[lane.topic]])

    def orders_changed(self) -> None:
        """Sift what was fetched once more: something was paused, resumed or limited."""
        self._orders_changed = True

    def _sift_again(self) -> None:
        self._orders_changed = False
        for lane in self._trackers:
            jobs = self._dropped(lane)
            self._took(jobs)
            for job in sorted(jobs, key=lambda job: job.record.offset):
                self._place(lane, WaitingJob(job.queued, job.record))

    async def _park(self) -> None:
        """Hold what may not wait here; without a parker it is another's to hold, and let go."""
        if self._orders_changed:
            self._sift_again()
        while self._to_park:
            some, self._to_park = self._to_park[:PARK_MAX], self._to_park[PARK_MAX:]
            if self._parker is not None:
                await self._parker.park(some)
            self.handled(one.waiting for one in some)

    def _offer(self, records: list[Record]) -> None:
        for record in records:
            lane = _lane(record)
            tracker = self._trackers.get(lane)
            if tracker is None:
                tracker = self._trackers[lane] = OffsetTracker()
            tracker.add(record.offset)
            self._place(lane, WaitingJob(decode_queued(record), record))

    def _place(self, lane: TopicPartition, waiting: WaitingJob) -> None:
        place: TopicPartition | RoomLane = lane
        if self._sift is not None:
            held_for = self._sift.held_for(waiting.queued.job)
            if held_for is not None:
                self._to_park.append(Parked(waiting, held_for))
                return
            place = self._sift.enter(waiting, lane)
        if place == lane:
            self._bytes[lane] += len(waiting.record.value or b"")
        head_start_ms = self._head_start_ms[self._bucket[waiting.record.topic]]
        self._order.offer(place, head_start_ms, waiting.queued.ready_ms, waiting)

    def _pace(self, lanes: Iterable[TopicPartition]) -> None:
        """Of these stop fetching those that are full, go on with those half empty."""
        full: list[TopicPartition] = []
        half_empty: list[TopicPartition] = []
        for lane in lanes:
            filled = max(self._order.waiting(lane) / self._lane_buffer, self._bytes[lane] / LANE_MAX_BYTES)
            if filled >= 1 and lane not in self._paused:
                full.append(lane)
            elif filled < 1 / 2 and lane in self._paused:
                half_empty.append(lane)
        if full:
            self._paused.update(full)
            self._member.pause(full)
        if half_empty:
            self._paused.difference_update(half_empty)
            self._member.resume(half_empty)


def head_starts_ms(law: OrderLaw) -> list[float]:
    """Give the head start of each bucket over the last one, ms."""
    return [bucket_head_start_s(bucket, law.rule.per_decade_s) * 1000 for bucket in range(BUCKETS)]


def _always(_lane: object) -> bool:
    return True


def _lane(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
