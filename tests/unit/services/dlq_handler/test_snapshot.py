"""When the dlq_handler writes snapshots, on the log in memory: never beyond what is committed."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.group import MemoryGroupMember
from adapters.memory.reader import MemoryReader
from core.keeper import OpenClaims
from core.log import TopicPartition
from core.snapshot_rule import SnapshotRule
from ports.snapshots import SnapshotStore
from schemas.codec import ledger_record
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.dlq_handler import snapshot
from services.dlq_handler.snapshot import Snapshotter
from tests.support.verdicts import EPOCH, About

ROUTES = RouteMap(partitions=1)
LEDGER = TopicPartition(ROUTES.ledger, 0)
DEADLINE_S = 10.0


class World:
    """One handler of the ledger that folds and commits when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(snapshot, "stopped_within", self._pause)
        ticks = itertools.count(1)
        self.broker = MemoryBroker(lambda: next(ticks))
        self.broker.create_topics(ROUTES.specs())
        self.now_s = 1000.0
        self.pauses = 0
        self.paused = asyncio.Condition()
        self.folds = LedgerFolds(EPOCH, with_notes=False)
        self.member = MemoryGroupMember(
            self.broker, group="g", instance="one", topics=[ROUTES.ledger, ROUTES.dlq]
        )
        self.store = self.another_store()
        self.jobs = itertools.count()

    def another_store(self) -> SnapshotStore:
        return SnapshotStore(ROUTES, EPOCH, MemoryAppender(self.broker), MemoryReader(self.broker), "one")

    async def _pause(self, stopping: asyncio.Event, _seconds: float) -> bool:
        """Stand in for the pause between two looks."""
        async with self.paused:
            self.pauses += 1
            self.paused.notify_all()
        await asyncio.sleep(0)
        return stopping.is_set()

    async def fold(self, records: int) -> None:
        for number in itertools.islice(self.jobs, records):
            job = About(f"{EPOCH}:0:{number}", f"01890000-0000-7000-8000-{number:012d}")
            self.broker.write(ledger_record(ROUTES, job.claimed()))
        self.folds.take((await self.member.poll(0)).records)

    async def commit(self) -> None:
        assignment = self.member.assignment.number
        assert await self.member.commit(assignment, {LEDGER: self.folds.next_offset(0)})

    async def until_offset(self, offset: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while await self.store.newest(0) != offset:
                await self.turns(1)

    async def turns(self, count: int = 5) -> None:
        """Let the snapshotter look a few more times."""
        wanted = self.pauses + count
        async with asyncio.timeout(DEADLINE_S), self.paused:
            await self.paused.wait_for(lambda: self.pauses >= wanted)

    @asynccontextmanager
    async def snapshotting(self, rule: SnapshotRule) -> AsyncIterator[None]:
        await self.member.start()
        await self.member.poll(0)
        stopping = asyncio.Event()
        snapshotter = Snapshotter(
            self.store, self.member, self.folds, ROUTES.ledger, rule, lambda: self.now_s, asyncio.Lock()
        )
        task = asyncio.create_task(snapshotter.run(stopping))
        try:
            await self.turns(1)
            yield
        finally:
            stopping.set()
            await asyncio.wait_for(task, DEADLINE_S)


async def test_enough_records_make_a_snapshot_and_the_next_counts_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    async with world.snapshotting(SnapshotRule(10, 600, 0)):
        await world.fold(9)
        await world.commit()
        await world.turns()
        assert await world.store.newest(0) == 0
        await world.fold(1)
        await world.commit()
        await world.until_offset(10)
        await world.fold(9)
        await world.commit()
        await world.turns()
        assert await world.store.newest(0) == 10


async def test_an_image_waits_until_its_work_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    async with world.snapshotting(SnapshotRule(5, 600, 0)):
        await world.fold(6)
        await world.turns()
        assert await world.another_store().newest(0) == 0
        await world.commit()
        await world.until_offset(6)


async def test_an_image_of_a_partition_that_moves_away_before_its_commit_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    async with world.snapshotting(SnapshotRule(5, 600, 0)):
        await world.fold(6)
        other = MemoryGroupMember(world.broker, group="g", instance="one", topics=[ROUTES.ledger, ROUTES.dlq])
        await other.start()
        await other.poll(0)
        await world.member.poll(0)
        assert await other.commit(other.assignment.number, {LEDGER: 6})
        await world.turns()
        assert await world.store.newest(0) == 0


async def test_time_alone_makes_a_snapshot_of_few_records_but_never_of_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    async with world.snapshotting(SnapshotRule(1000, 600, 0)):
        await world.fold(1)
        await world.commit()
        world.now_s += 599
        await world.turns()
        assert await world.store.newest(0) == 0
        world.now_s += 1
        await world.until_offset(1)
        written = len(world.broker.records(ROUTES.snapshots))
        world.now_s += 6000
        await world.turns()
        assert len(world.broker.records(ROUTES.snapshots)) == written


async def test_the_keeper_looks_after_the_claims_that_stand_in_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, claims = World(monkeypatch), OpenClaims()
    async with world.snapshotting(SnapshotRule(1, 600, 0)):
        await world.fold(3)
        await world.commit()
        await world.until_offset(3)
    folds = LedgerFolds(EPOCH, with_notes=False)
    committed = {LEDGER: 3, TopicPartition(ROUTES.dlq, 0): 0}

    await snapshot.begin_at_snapshots(world.another_store(), folds, claims, ROUTES.ledger, committed)

    assert folds.next_offset(0) == 3
    found = {claim.origin: claim.claimed_ms for claim in claims.of("a", {0})}
    records = world.broker.records(ROUTES.ledger)
    assert found == {f"{EPOCH}:0:{i}": record.timestamp_ms for i, record in enumerate(records)}


async def test_a_snapshot_beyond_what_is_committed_is_not_begun_at(monkeypatch: pytest.MonkeyPatch) -> None:
    world, folds = World(monkeypatch), LedgerFolds(EPOCH, with_notes=False)
    async with world.snapshotting(SnapshotRule(1, 600, 0)):
        await world.fold(3)
        await world.commit()
        await world.until_offset(3)
    await snapshot.begin_at_snapshots(world.another_store(), folds, OpenClaims(), ROUTES.ledger, {LEDGER: 2})
    assert folds.next_offset(0) == 0


@pytest.mark.parametrize(
    ("records", "elapsed_s", "due"),
    [(0, 9999, False), (100, 59, False), (100, 60, True), (99, 599, False), (99, 600, True)],
)
def test_a_snapshot_is_due_after_records_or_time_but_not_too_soon(
    records: int, elapsed_s: float, due: bool
) -> None:
    assert SnapshotRule(100, 600, 60).is_due(records, elapsed_s) is due
