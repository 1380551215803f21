"""A dlq_handler of the walk: decisions and the watch over executors, by the service's own steps."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import cast

import msgspec
from typing_extensions import override

from core.keeper import DeclareLost, OpenClaims
from core.ledger.image import LedgerImage
from core.ledger.open_job import Phase
from core.ledger.snapshot import chunks_of
from core.log import Coordinate, Record, TopicPartition
from ports.fetch import RecordFetcher
from ports.log import PartitionReader
from schemas.accepted_job import FailedAttempt
from services.dlq_handler.fetch import Attempts
from services.dlq_handler.keep import KeepWatch
from services.dlq_handler.recognize import Recognizer
from tests.model.executor import LEASE_S, ROUTES, ModelFolds, ModelMember, Snapshot
from tests.model.laws import Beginning, Commit, Rules
from tests.model.process import Group, Log, NoMeter, Process
from tests.support.outcomes import unheard

LEDGER = TopicPartition(ROUTES.ledger, 0)


class ModelFetcher:
    """Fetches records by coordinate at once."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def fetch(self, wanted: Iterable[Coordinate]) -> dict[Coordinate, Record]:
        return {place: self._log.at(place.topic, place.offset) for place in wanted}


class ModelReader:
    """Reads one topic, now and then slowly, and then without knowing how far it is behind."""

    def __init__(self, log: Log, random: Random, topic: str = ROUTES.executors) -> None:
        self._log = log
        self._random = random
        self._topic = topic
        self._position = 0
        self.most = 1000

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._position = next(iter(positions.values()), 0)

    async def poll(self, timeout_s: float, max_records: int = 0) -> list[Record]:
        count = self.most if self._random.random() < 0.7 else self._random.randint(0, 3)
        records = self._log.read(self._topic, self._position, count)
        self._position += len(records)
        return records

    def position(self, partition: TopicPartition) -> int:
        return self._position

    def known_end(self, partition: TopicPartition) -> int:
        return self._position if self._random.random() < 0.3 else self._log.end(partition.topic)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._log.end(partition.topic) for partition in partitions}

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def close(self) -> None: ...


class FickleAttempts(Attempts):
    """Gives failed attempts with limits that change from look to look, as after a change of the policy.

    So two handlers, or one handler twice, decide differently about the same dispatch.
    """

    random = Random(0)

    @override
    async def get(self, wanted: Iterable[Coordinate]) -> dict[Coordinate, FailedAttempt]:
        attempts = await super().get(wanted)
        return {
            place: msgspec.structs.replace(attempt, task_max_attempts=self.random.choice((1, 2, 3)))
            for place, attempt in attempts.items()
        }


class ModelWatch(KeepWatch):
    """The real watch; where it would wait for the handler beside it, it gives up for this turn."""

    @override
    async def _still_lost(self, losses: list[DeclareLost]) -> list[DeclareLost]:
        ends = await self._reader.end_offsets([LEDGER])
        if self._folds.next_offset(0) < ends[LEDGER]:
            return []
        seen = set(losses)
        return [loss for loss in self._losses() if loss in seen]


class ModelHandler(Process):
    """One dlq_handler process."""

    def __init__(self, log: Log, group: Group, number: int, random: Random, rules: Rules) -> None:
        super().__init__(log)
        self._group = group
        self._rules = rules
        self.member = ModelMember(group, number)
        self.folds = ModelFolds(rules)
        self._position = 0
        self._claims = claims = OpenClaims()
        fetcher = cast("RecordFetcher", ModelFetcher(log))
        self._pictured: LedgerImage | None = None
        fickle = type("RandomAttempts", (FickleAttempts,), {"random": random})
        self._handler = rules.handler(
            ROUTES,
            self,
            self.member,
            NoMeter(),
            self._now_ms,
            self.folds,
            claims,
            fickle(fetcher, ROUTES, 1 << 20),
            unheard(ROUTES),
            Recognizer(ROUTES, self, cast("PartitionReader", ModelReader(log, random, ROUTES.signatures))),
        )
        self.reader = ModelReader(log, random)
        self.watch = ModelWatch(
            ROUTES,
            self,
            cast("PartitionReader", self.reader),
            self.member,
            self._now_ms,
            self.folds,
            claims,
            fetcher,
            asyncio.Event(),
            keeper=rules.keeper(int(LEASE_S * 1000)),
            name=f"h{number}",
            turn_s=0.1,
        )
        self.is_paused = False
        self.spawn("start", self.watch.start())

    def restore(self, shelf: list[Snapshot]) -> None:
        """Begin at a snapshot, as ``begin_at_snapshots`` does."""
        match self._rules.snapshot:
            case Beginning.UP_TO_COMMITTED:
                at_most = self._group.committed.get(ROUTES.ledger, 0)
            case Beginning.NEWEST:
                at_most = self.log.end(ROUTES.ledger)
        if self.folds.restore(shelf, at_most):
            for job in self.folds.fold(0).open.values():
                if job.phase is Phase.CLAIMED and job.claim is not None:
                    self._claims.opened(0, job.claim_timestamp_ms, job.claim)

    def snapshot(self) -> Snapshot | None:
        """Take an image of the fold; give it, or the one taken before, as bytes when it may be kept."""
        before, self._pictured = self._pictured, self.folds.fold(0).image()
        if self._rules.snapshot is Beginning.NEWEST:
            before = self._pictured
        elif before is None or before.next_offset > self._group.committed.get(ROUTES.ledger, 0):
            return None
        return Snapshot(before.next_offset, list(chunks_of(before)))

    def _now_ms(self) -> int:
        return self.log.now_ms

    def step(self, random: Random) -> None:
        """Do one thing some task of the process or the network could do next."""
        draw = random.random()
        if draw < 0.2 or self.is_paused:
            self.land(random)
        elif draw < 0.4:
            self.go_on(random)
        elif draw < 0.75:
            self.work(random.choice((1, 2, 3, 1000)))
        else:
            self.keep()
        if random.random() < 0.3 and not self.is_paused:
            self.settle(random)

    @property
    def is_zombie(self) -> bool:
        """Whether it has lost the partition, or another owns it, and it has not noticed."""
        return (
            self._group.owner != self.member.number or self._group.generation != self.member.assignment.number
        )

    def turn(self, random: Random) -> None:
        """Do everything once, as a process that nothing holds up."""
        for _ in range(3):
            self.settle(random)
            self.work(1000)
            self.settle(random)
            self.keep()

    def work(self, count: int) -> None:
        """Hand a few records to the handler; one batch at a time, as ``run_stage`` does."""
        if self.is_busy("work"):
            return
        if self.member.look():
            self._position = self.folds.next_offset(0)
        if self.member.owns:
            records = self.log.read(ROUTES.ledger, self._position, count)
            if records:
                self._position += len(records)
                assignment = self.member.assignment.number
                self.spawn("work", self._work(records, assignment))
                if self._rules.commit is Commit.BEFORE_OUTPUTS:
                    self._group.commit(self.member.number, assignment, {ROUTES.ledger: self._position})

    async def _work(self, records: list[Record], assignment: int) -> None:
        await self._handler.work(records)
        _moved = await self.member.commit(assignment, {LEDGER: records[-1].offset + 1})

    def keep(self) -> None:
        if not self.is_busy("keep"):
            self.spawn("keep", self.watch.turn())
