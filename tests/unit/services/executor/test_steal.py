"""Looking for work of others, and claiming it: on the log in memory."""

import uuid
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.group import MemoryGroupMember
from adapters.memory.progress import MemoryGroupProgress
from adapters.memory.reader import MemoryReader
from core.ledger.verdicts import Claimed
from core.log import TopicPartition
from core.stealing import BACKOFF_MS, FOLLOW_S, PATIENCE_MS, SPREAD_MS
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_if_verdict, job_record, ledger_record
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.executor.claim import Claimer
from services.executor.fetch import Fetcher
from services.executor.held import Held
from services.executor.lanes import ForeignLanes
from services.executor.steal import HEADS, Thief
from tests.support.executor import executor_context
from tests.support.scoring import standard_law

ROUTES = RouteMap(partitions=2)
MINE, THEIRS = 0, 1
RIPE_MS = PATIENCE_MS + SPREAD_MS


@dataclass
class Clock:
    ms: int = 1_000_000


@dataclass
class Neighbour:
    """A thief that owns partition 0, beside an owner of partition 1 who has stopped claiming."""

    broker: MemoryBroker
    clock: Clock
    free_slots: int = 4
    followable: bool = True
    held: Held = field(default_factory=Held)

    def __post_init__(self) -> None:
        self.appender = MemoryAppender(self.broker)
        context = executor_context(ROUTES, self.appender, lambda: self.clock.ms, lambda: self.clock.ms / 1000)
        self.folds = LedgerFolds("e", with_notes=False)
        self.own = Fetcher(
            MemoryGroupMember(self.broker, group="nobody", instance="x", topics=[]),
            context,
            law=lambda: standard_law(""),
            lane_buffer=500,
        )
        self.own.partitions = frozenset({MINE})
        self.lanes = ForeignLanes(MemoryReader(self.broker))
        self.foreign = Fetcher(self.lanes, context, law=lambda: standard_law(""), lane_buffer=HEADS)
        leased = SimpleNamespace(boot_id="executor-0:boot", may_claim=True)
        self.claimer = Claimer(
            context,
            self.folds,
            self.own,
            self.held,
            cast("Any", leased),
            cast("Any", self),
            lambda partition: partition == MINE or partition in self.thief.partitions,
        )
        self.thief = self.claimer.stolen = Thief(
            context,
            MemoryGroupProgress(self.broker, group="g"),
            self.lanes,
            self.foreign,
            self.held,
            most=8,
            owned=lambda: self.own.partitions,
            can_follow=self.can_follow,
            spare=self.claimer.spare,
            draw=lambda: 0.5,
        )
        self.policies: dict[str, object] = {}

    async def can_follow(self, _partition: int) -> bool:
        return self.followable

    async def look_twice(self) -> None:
        await self.claimer._claim_once()
        await self.thief.look()
        self.clock.ms += 1000
        await self.thief.look()

    async def fetch(self) -> None:
        """Do two turns of the loop that fetches: a new assignment brings its records with the second."""
        await self._turn()
        await self._turn()

    async def _turn(self) -> None:
        batch = await self.lanes.poll(0.0)
        if self.lanes.assignment.number != self.foreign.assignment:
            self.foreign._follow_assignment()
        if batch.assignment == self.foreign.assignment:
            self.foreign._offer(batch.records)

    async def claim(self) -> list[Claimed]:
        """Claim all that can be claimed; give the claims appended."""
        before = self.broker.end(TopicPartition(ROUTES.ledger, THEIRS))
        while await self.claimer._claim_once():
            pass
        records = self.broker.read(TopicPartition(ROUTES.ledger, THEIRS), before, 1000)
        return [cast("Claimed", decode_if_verdict(record)) for record in records]

    async def put(self, count: int, *, first: int = 0) -> list[AcceptedJob]:
        """Queue jobs at home on the partition of the other one."""
        jobs = [a_job(number) for number in range(first, first + count)]
        topic = ROUTES.execution("default", 0)
        await self.appender.append(
            [job_record(topic, THEIRS, QueuedJob(job, self.clock.ms, 0, 0.0), job, b"") for job in jobs]
        )
        return jobs

    def others_claim(self, job: AcceptedJob) -> None:
        """Let the owner's claim of a job be in the fold."""
        offset = self.folds.next_offset(THEIRS)
        claim = Claimed(job.origin, job.job_id, 1, "executor-1:boot", "t", THEIRS, 0)
        record = ledger_record(ROUTES, claim)
        self.folds.fold(THEIRS).apply(offset, self.clock.ms, claim)
        assert record.partition == THEIRS


def a_job(number: int) -> AcceptedJob:
    while home(job_id := str(uuid.uuid4()), ROUTES.partitions) != THEIRS:
        pass
    origin = f"e:0:{number}"
    return AcceptedJob(origin, job_id, "t", "default", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", "")


@pytest.fixture
def neighbour() -> Neighbour:
    clock = Clock()
    broker = MemoryBroker(lambda: clock.ms)
    broker.create_topics(ROUTES.specs())
    return Neighbour(broker, clock)


async def test_what_stays_unhandled_is_followed_and_claimed_without_committing(neighbour: Neighbour) -> None:
    jobs = await neighbour.put(3)
    await neighbour.look_twice()
    assert neighbour.thief.partitions == {THEIRS}
    await neighbour.fetch()
    claims = await neighbour.claim()
    assert [claim.job_id for claim in claims] == [job.job_id for job in jobs]
    assert neighbour.held.count_stolen() == 3
    assert neighbour.held.partitions() == {THEIRS}
    assert neighbour.broker.group("g").committed == {}


async def test_what_came_since_the_last_look_is_nobodys_but_its_owners(neighbour: Neighbour) -> None:
    await neighbour.claimer._claim_once()
    await neighbour.thief.look()
    await neighbour.put(3)
    await neighbour.thief.look()
    assert neighbour.thief.partitions == frozenset()


async def test_an_executor_without_a_free_slot_asks_nobody(neighbour: Neighbour) -> None:
    await neighbour.put(3)
    neighbour.free_slots = 0
    await neighbour.look_twice()
    assert neighbour.thief._before == {}
    assert neighbour.thief.partitions == frozenset()


async def test_a_fresh_dispatch_is_left_to_its_owner_for_a_moment(neighbour: Neighbour) -> None:
    await neighbour.put(1)
    await neighbour.look_twice()
    await neighbour.fetch()
    await neighbour.claim()
    await neighbour.put(1, first=1)
    await neighbour.fetch()
    assert await neighbour.claim() == []
    ripe_in_s = neighbour.thief.ripe_in_s()
    assert ripe_in_s is not None
    assert PATIENCE_MS / 1000 <= ripe_in_s <= RIPE_MS / 1000
    neighbour.clock.ms += RIPE_MS
    assert len(await neighbour.claim()) == 1
    assert neighbour.thief.ripe_in_s() is None


async def test_no_more_is_taken_than_there_are_free_slots(neighbour: Neighbour) -> None:
    await neighbour.put(5)
    neighbour.free_slots = 2
    await neighbour.look_twice()
    await neighbour.fetch()
    await neighbour.claimer._claim_once()
    assert neighbour.held.count_stolen() == 2
    assert not neighbour.claimer.spare.is_set()


async def test_what_its_owner_has_claimed_is_let_go_also_without_a_free_slot(neighbour: Neighbour) -> None:
    first, second, third = await neighbour.put(3)
    await neighbour.look_twice()
    await neighbour.fetch()
    neighbour.others_claim(first)
    neighbour.others_claim(third)
    neighbour.free_slots = 0
    neighbour.claimer.shed()
    assert len(neighbour.foreign) == 2
    neighbour.free_slots = 4
    claims = await neighbour.claim()
    assert [claim.job_id for claim in claims] == [second.job_id]
    assert len(neighbour.foreign) == 0


async def test_a_partition_that_became_its_own_is_not_stolen_from(neighbour: Neighbour) -> None:
    await neighbour.put(2)
    await neighbour.look_twice()
    await neighbour.fetch()
    neighbour.own.partitions = frozenset({MINE, THEIRS})
    assert await neighbour.claim() == []
    await neighbour.thief.look()
    assert neighbour.thief.partitions == frozenset()


async def test_a_partition_is_let_go_when_nothing_was_stolen_for_long(neighbour: Neighbour) -> None:
    await neighbour.put(1)
    await neighbour.look_twice()
    await neighbour.fetch()
    neighbour.clock.ms += int(FOLLOW_S * 900)
    await neighbour.claim()
    neighbour.clock.ms += int(FOLLOW_S * 900)
    neighbour.free_slots = 0
    await neighbour.claimer._claim_once()
    await neighbour.thief.look()
    assert neighbour.thief.partitions == {THEIRS}
    neighbour.clock.ms += int(FOLLOW_S * 1100)
    await neighbour.thief.look()
    assert neighbour.thief.partitions == frozenset()
    assert neighbour.lanes.partitions == frozenset()


async def test_a_ledger_that_cannot_be_followed_is_not_stolen_from(neighbour: Neighbour) -> None:
    await neighbour.put(1)
    neighbour.followable = False
    await neighbour.look_twice()
    assert neighbour.thief.partitions == frozenset()


async def test_a_broker_that_does_not_answer_is_asked_again_later(neighbour: Neighbour) -> None:
    await neighbour.put(1)
    neighbour.broker.faults.go_away()
    await neighbour.look_twice()
    assert neighbour.thief.partitions == frozenset()
    neighbour.broker.faults.come_back()
    await neighbour.look_twice()
    assert neighbour.thief.partitions == {THEIRS}


async def test_lanes_trimmed_under_a_thief_are_looked_up_again(neighbour: Neighbour) -> None:
    await neighbour.put(4)
    await neighbour.look_twice()
    lane = TopicPartition(ROUTES.execution("default", 0), THEIRS)
    neighbour.broker.group("g").commit(lane, 2)
    neighbour.broker.trim(lane, 2)
    await neighbour.fetch()
    assert neighbour.lanes.partitions == frozenset()
    await neighbour.claimer._claim_once()
    await neighbour.thief.look()
    await neighbour.fetch()
    assert len(await neighbour.claim()) == 2


async def test_after_a_claim_that_came_too_late_the_partition_is_left_alone_for_a_while(
    neighbour: Neighbour,
) -> None:
    await neighbour.put(2)
    await neighbour.look_twice()
    await neighbour.fetch()
    neighbour.free_slots = 1
    await neighbour.claimer._claim_once()
    (held,) = neighbour.held.all()
    neighbour.thief.read_back(held, holds=False)
    neighbour.held.drop_all()
    assert await neighbour.claim() == []
    ripe_in_s = neighbour.thief.ripe_in_s()
    assert ripe_in_s is not None
    assert 0 < ripe_in_s <= BACKOFF_MS / 1000
    neighbour.clock.ms += BACKOFF_MS
    assert await neighbour.claimer._claim_once()


async def test_looks_become_rare_while_nothing_waits_anywhere(neighbour: Neighbour) -> None:
    await neighbour.claimer._claim_once()
    for _ in range(3):
        await neighbour.thief.look()
    assert neighbour.thief._quiet_looks == 3
    await neighbour.put(1)
    await neighbour.thief.look()
    assert neighbour.thief._quiet_looks == 0
