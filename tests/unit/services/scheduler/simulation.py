"""A log, a broker clock and a group member in memory, under virtual time: no sleep, no thread."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import msgspec

from core.log import Appended, NewRecord, Record, TopicPartition
from core.offsets import next_positions
from penstock.identity import home, job_id_from_key
from ports.fetch import RecordFetcher
from ports.gate_snapshots import GateSnapshots
from ports.log import Assignment, Batch, OffsetOutOfRangeError
from ports.meter import Metric
from schemas.accepted_job import AcceptedJob
from schemas.codec import job_record
from schemas.gate_logs import GateLogs, Image
from schemas.topics import RouteMap
from services.scheduler.admit import Admitter
from services.scheduler.decide import OnDead, due_ms_of
from services.scheduler.hold import Heads
from services.scheduler.keep_gates import Gatekeeper
from services.scheduler.last_stretch import LastStretch
from services.scheduler.measure import Measures
from services.scheduler.schedule import Positions, Scheduler
from services.scheduler.waiting import WaitingJobs

EPOCH = "e"
START_MS = 1_700_000_000_000
ROUTES = RouteMap(partitions=2)
TIER_OF = {topic: tier for tier, topic in enumerate(ROUTES.delays)}
FOLLOWED = [
    TopicPartition(topic, partition)
    for topic in (ROUTES.gates, *ROUTES.delays, ROUTES.workflows, ROUTES.orders, ROUTES.ledger)
    for partition in range(2)
]


def a_job(number: int = 1, **changes: object) -> AcceptedJob:
    """A job of origin ``e:0:<number>``; a key makes its id, as ingest does."""
    job = AcceptedJob(
        origin=f"{EPOCH}:0:{number}",
        job_id=f"0189c1f0-0000-7000-8000-{number:012x}",
        type="email.send",
        tenant="acme",
        pool="default",
        payload=msgspec.Raw(b'{"to": "a@b.c"}'),
        priority=5,
        submitted_ms=START_MS,
        timeout_s=300,
        max_attempts=5,
        body_hash=f"{7:016x}",
        trace_id="0" * 31 + "1",
    )
    job = msgspec.structs.replace(job, **changes)
    if job.idempotency_key is not None:
        job = msgspec.structs.replace(job, job_id=job_id_from_key(job.tenant, job.idempotency_key))
    return job


def gated(job: AcceptedJob) -> NewRecord:
    """The record ingest writes."""
    return job_record(ROUTES.gates, home(job.job_id, ROUTES.partitions), job, job, b"GATED")


class CrashError(Exception):
    """The process died here."""


@dataclass
class World:
    """What survives a crash of the scheduler: the log, the committed offsets, the broker's clock."""

    now_ms: int = START_MS
    log: defaultdict[TopicPartition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    starts: dict[TopicPartition, int] = field(default_factory=dict)
    append_ms: int = 0
    crash_after: int | None = None
    """Records until the appender dies, having written the ones before."""
    _events: list[tuple[int, int, NewRecord]] = field(default_factory=list)

    def submit(self, job: AcceptedJob, at_ms: int = 0) -> None:
        """Let ingest hand this job over at ``at_ms`` after the start."""
        self.put_later(gated(job), at_ms)

    def put_later(self, record: NewRecord, at_ms: int) -> None:
        """Append a record at ``at_ms`` after the start."""
        heappush(self._events, (START_MS + at_ms, len(self._events) * 1000 + id(record) % 1000, record))

    def put(self, record: NewRecord) -> Appended:
        """Append now, with the broker's time."""
        records = self.log[TopicPartition(record.topic, record.partition)]
        records.append(
            Record(
                record.topic,
                record.partition,
                len(records),
                self.now_ms,
                record.key,
                record.value,
                record.headers,
            )
        )
        return Appended(len(records) - 1, self.now_ms)

    def trim(self, place: TopicPartition, before: int) -> None:
        """Let nobody read what stands below an offset."""
        self.starts[place] = max(before, self.starts.get(place, 0))

    def read(self, place: TopicPartition, start: int, count: int) -> list[Record]:
        """Give records, all of which must still be there."""
        assert start >= self.starts.get(place, 0), (
            f"{place} is trimmed to {self.starts[place]}, read from {start}"
        )
        return self.log[place][start : start + count]

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, in order within each partition."""
        return [record for place, records in self.log.items() if place.topic == topic for record in records]

    def pass_time(self, until_ms: int) -> None:
        """Let time pass, or stop at the next record somebody else appends."""
        if self._events and self._events[0][0] <= until_ms:
            at_ms, _, record = heappop(self._events)
            self.now_ms = max(self.now_ms, at_ms)
            self.put(record)
        else:
            self.now_ms = max(self.now_ms, until_ms)

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        """An ``Appender``: takes ``append_ms``, and dies where it was told to; nothing takes no time."""
        if not records:
            return []
        self.now_ms += self.append_ms
        appended: list[Appended] = []
        for record in records:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    self.crash_after = None
                    raise CrashError
                self.crash_after -= 1
            appended.append(self.put(record))
        return appended


class Member:
    """A ``GroupMember`` that owns everything."""

    def __init__(self, world: World, start_at: Callable[[TopicPartition, int], int]) -> None:
        self._world = world
        self._start_at = start_at
        self._number = 0
        self._positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.polls = 0

    def rebalance(self) -> None:
        """Give out the same partitions anew."""
        self._number += 1
        self.paused.clear()
        self._positions = {place: self._start_at(place, self.committed(place)) for place in FOLLOWED}

    @property
    def assignment(self) -> Assignment:
        return Assignment(self._number, frozenset({0, 1}) if self._number else frozenset())

    async def poll(self, timeout_s: float, max_records: int = 2000) -> Batch:
        self.polls += 1
        if not self._number:
            self.rebalance()
        deadline_ms = self._world.now_ms + int(timeout_s * 1000)
        records = self._fetch(max_records)
        while not records and self._world.now_ms < deadline_ms:
            self._world.pass_time(deadline_ms)
            records = self._fetch(max_records)
        return Batch(self._number, records)

    def _fetch(self, max_records: int) -> list[Record]:
        fetched: list[Record] = []
        for place in FOLLOWED:
            if place not in self.paused:
                start = self._positions[place]
                new = self._world.read(place, start, max_records - len(fetched))
                self._positions[place] += len(new)
                fetched += new
        return fetched

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused -= set(partitions)

    def committed(self, partition: TopicPartition) -> int:
        return self._world.committed.get(partition, 0)

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        if assignment != self._number:
            return False
        for place, offset in positions.items():
            self._world.committed[place] = max(offset, self.committed(place))
        return True

    async def close(self) -> None:
        """Nothing to leave."""


class WorldReader:
    """A ``PartitionReader`` of what there is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._positions: dict[TopicPartition, int] = {}

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = {place: self._positions.get(place, at) for place, at in positions.items()}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        raise NotImplementedError

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        raise NotImplementedError

    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        records: list[Record] = []
        for place, position in self._positions.items():
            if position < self._world.starts.get(place, 0):
                raise OffsetOutOfRangeError(f"{place} is trimmed to {self._world.starts[place]}")
            records += self._world.read(place, position, 10)
        self._positions |= next_positions(records)
        return records

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def known_end(self, partition: TopicPartition) -> int:
        return len(self._world.log[partition])

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self._world.log[place]) for place in partitions}

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self._world.starts.get(place, 0) for place in partitions}

    async def close(self) -> None:
        """Nothing to close."""


class CountingMeter:
    """A ``Meter`` that keeps sums and observations."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Metric, tuple[tuple[str, str], ...]]] = Counter()
        self.observed: defaultdict[Metric, list[float]] = defaultdict(list)

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        self.counts[metric, tuple(labels.items())] += int(amount)

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        self.observed[metric].append(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        self.observed[metric].append(value)

    def total(self, metric: Metric) -> int:
        return sum(count for (counted, _), count in self.counts.items() if counted is metric)


class Process:
    """One run of the scheduler, from its start to its crash."""

    def __init__(
        self,
        world: World,
        window_ms: int = 86_400_000,
        on_dead: OnDead = OnDead.RELEASE,
        cache_bytes: int = 1_000_000,
    ) -> None:
        self.world = world
        self.meter = CountingMeter()

        def now_ms() -> int:
            return world.now_ms

        self.admitter = Admitter(ROUTES, self.meter, now_ms, EPOCH, window_ms)
        self.logs = GateLogs(ROUTES, EPOCH)
        self.snapshots = GateSnapshots(ROUTES, EPOCH, self.logs, WorldReader(world), "one")
        self.waiting = WaitingJobs(RecordFetcher(WorldReader(world)), cache_bytes)
        keeper = Gatekeeper(ROUTES, self.meter, now_ms, self.logs, self.waiting, on_dead)
        positions = Positions(ROUTES, self.admitter, self.logs)
        self.member = Member(world, positions.start_at)
        self.heads = Heads(TIER_OF)
        self.scheduler = Scheduler(
            routes=ROUTES,
            member=self.member,
            appender=world,
            now_ms=now_ms,
            admitter=self.admitter,
            gatekeeper=keeper,
            logs=self.logs,
            positions=positions,
            heads=self.heads,
            stretch=LastStretch(due_ms_of),
            measures=Measures(self.meter, now_ms, TIER_OF),
        )

    async def restore(self) -> None:
        """Begin as a process does that has just been given its partitions."""
        await self.snapshots.restore({place: self.member.committed(place) for place in FOLLOWED})

    async def save(self) -> list[Image]:
        """Write snapshots of all gates, if everything before them is committed; give those written."""
        images = [self.logs.image(partition) for partition in range(ROUTES.partitions)]
        done = [
            image
            for image in images
            if all(
                self.member.committed(place) >= image.positions()[name]
                for name, place in self.logs.places(image.partition).items()
            )
        ]
        return [image for image in done if await self.snapshots.save(self.world, image)]

    async def run_for(self, span_ms: int) -> None:
        """Go round until this much virtual time has passed."""
        end_ms = self.world.now_ms + span_ms
        while self.world.now_ms < end_ms:
            await self.scheduler.step()
