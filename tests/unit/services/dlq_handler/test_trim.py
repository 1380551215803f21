"""The janitor's turn on the log in memory: what it asks, in which order, and when it lets everything be."""

import asyncio
import itertools

import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.group import MemoryGroupMember
from adapters.memory.reader import MemoryReader
from adapters.memory.retention import MemoryRetention
from core.ledger.verdicts import Claimed
from core.log import NewRecord, TopicPartition
from core.retention import TrimRule
from core.states import State
from ports.gate_snapshots import GateSnapshots
from ports.held_marks import HeldMarkLog
from ports.passages import PassageLog
from ports.retention import RetentionUnavailableError
from ports.snapshots import SnapshotStore
from schemas.codec import ledger_record
from schemas.gate_logs import GateLogs
from schemas.ledger import LedgerFolds
from schemas.passages import Stretch, stretch_record
from schemas.topics import RouteMap
from services.dlq_handler import trim
from services.dlq_handler.trim import Told, Trimmer
from tests.model.process import NoMeter
from tests.support.order_logs import End, Entered, Event, record
from tests.support.verdicts import EPOCH, About

ROUTES = RouteMap(partitions=1)
LEDGER = TopicPartition(ROUTES.ledger, 0)
EXEC = TopicPartition(ROUTES.execution("default", 0), 0)
GATES = TopicPartition(ROUTES.gates, 0)
ORDERS = TopicPartition(ROUTES.orders, 0)
MINUTE_MS = 60_000


class World:
    """A ledger of claims and ends, a handler that folds and commits when told, and the janitor beside."""

    def __init__(self, keep_ms: int = 0, max_bytes: int = 1 << 40) -> None:
        self.now = itertools.count(10 * MINUTE_MS)
        self.broker = MemoryBroker(lambda: next(self.now))
        self.broker.create_topics(ROUTES.specs())
        self.folds = LedgerFolds(EPOCH, with_notes=False)
        self.member = MemoryGroupMember(
            self.broker,
            group=ROUTES.group("dlq_handler"),
            instance="one",
            topics=[ROUTES.ledger, ROUTES.dlq],
        )
        self.store = SnapshotStore(
            ROUTES,
            EPOCH,
            MemoryAppender(self.broker),
            MemoryReader(self.broker),
            "one",
            ledger_keep_ms=keep_ms,
        )
        self.trimmer = Trimmer(
            ROUTES,
            MemoryRetention(self.broker),
            self.member,
            self.folds,
            self.store,
            Told(
                PassageLog(ROUTES, EPOCH, MemoryReader(self.broker)),
                self.gates(GateLogs(ROUTES, EPOCH)),
                HeldMarkLog(ROUTES, EPOCH, MemoryReader(self.broker)),
            ),
            NoMeter(),
            lambda: 10 * MINUTE_MS + 1000,
            TrimRule(keep_ms, max_bytes, MINUTE_MS, 1),
            asyncio.Lock(),
        )

    def gates(self, logs: GateLogs) -> GateSnapshots:
        return GateSnapshots(ROUTES, EPOCH, logs, MemoryReader(self.broker), "one")

    async def gates_are_at(self, ledger: int, orders: int = 0) -> None:
        """Let a scheduler commit so far, and write a snapshot of its gates there."""
        logs = GateLogs(ROUTES, EPOCH)
        gates = self.gates(logs)
        await gates.restore({LEDGER: 0})
        for place, offset in ((LEDGER, ledger), (ORDERS, orders)):
            for read in self.broker.records(place.topic):
                if logs.next_offset(place) <= read.offset < offset:
                    logs.take(read)
            self.committed("scheduler", place, offset)
        assert await gates.save(MemoryAppender(self.broker), logs.image(0))

    async def ledger(self, claims: int, ends: int) -> None:
        """Write claims of dispatches 0, 1, ..., and the ends of the first of them; fold and commit."""
        jobs = [About(f"{EPOCH}:0:{n}", f"01890000-0000-7000-8000-{n:012d}") for n in range(claims)]
        for offset, job in enumerate(jobs):
            self.broker.write(NewRecord(EXEC.topic, 0, None, b"dispatch"))
            claim = Claimed(job.origin, job.job_id, 1, "a", EXEC.topic, 0, offset)
            self.broker.write(ledger_record(ROUTES, claim))
        for job in jobs[:ends]:
            self.broker.write(ledger_record(ROUTES, job.succeeded()))
        await self.member.start()
        self.folds.take((await self.member.poll(0)).records)
        await self.commit()

    async def commit(self) -> None:
        assert await self.member.commit(self.member.assignment.number, {LEDGER: self.folds.next_offset(0)})

    async def is_trimmed_to(self, offset: int) -> bool:
        await asyncio.sleep(0.01)
        return self.broker.start(EXEC) == offset

    def committed(self, group: str, place: TopicPartition, offset: int) -> None:
        self.broker.group(ROUTES.group(group)).commit(place, offset)


async def test_a_dispatch_goes_when_it_is_read_and_its_claim_is_settled() -> None:
    world = World()
    await world.ledger(claims=5, ends=3)
    world.committed("executor.default", EXEC, 5)
    await world.trimmer.turn()
    assert world.broker.start(EXEC) == 3


async def test_nothing_goes_that_a_group_has_not_read_or_while_one_never_committed() -> None:
    world = World()
    await world.ledger(claims=5, ends=5)
    await world.trimmer.turn()
    assert world.broker.start(EXEC) == 0
    world.committed("executor.default", EXEC, 2)
    await world.trimmer.turn()
    assert world.broker.start(EXEC) == 2


async def test_a_gate_goes_only_as_far_as_is_written_down_who_passed() -> None:
    world = World()
    await world.ledger(claims=1, ends=1)
    for _ in range(6):
        world.broker.write(NewRecord(GATES.topic, 0, None, b"job"))
    world.committed("scheduler", GATES, 6)
    await world.trimmer.turn()
    assert world.broker.start(GATES) == 0
    world.broker.write(stretch_record(ROUTES, 0, Stretch(EPOCH, 0, 4, [])))
    await world.trimmer.turn()
    assert world.broker.start(GATES) == 4


async def test_the_ledger_goes_to_a_snapshot_that_everybody_is_past() -> None:
    world = World()
    await world.ledger(claims=5, ends=5)
    await world.store.save(0, world.folds.fold(0).image())
    await world.gates_are_at(10)
    world.committed("materializer", LEDGER, 9)
    await world.trimmer.turn()
    assert world.broker.start(LEDGER) == 0, "the materializer is not past the snapshot"
    world.committed("materializer", LEDGER, 10)
    await world.trimmer.turn()
    assert world.broker.start(LEDGER) == 10


async def test_the_ledger_keeps_what_the_oldest_kept_snapshot_of_the_gates_goes_on_from() -> None:
    world = World()
    await world.ledger(claims=5, ends=5)
    await world.store.save(0, world.folds.fold(0).image())
    world.committed("materializer", LEDGER, 10)
    world.committed("scheduler", LEDGER, 10)
    await world.trimmer.turn()
    assert world.broker.start(LEDGER) == 0, "no snapshot of the gates was ever written"
    await world.gates_are_at(7)
    await world.gates_are_at(10)
    await world.trimmer.turn()
    assert world.broker.start(LEDGER) == 0, "whoever restores itself may just be reading the older one"
    world.broker.write(ledger_record(ROUTES, About().claimed()))
    world.folds.take((await world.member.poll(0)).records)
    await world.commit()
    await world.gates_are_at(11)
    await world.trimmer.turn()
    assert world.broker.start(LEDGER) == 10


async def test_a_gate_keeps_the_jobs_that_wait() -> None:
    world = World()
    await world.ledger(claims=1, ends=1)
    story: list[Event] = [Entered(0, "a"), Entered(2, "a"), End(0, 1, State.DEAD), Entered(4, "a")]
    for offset, event in enumerate(story):
        written = record(offset, event)
        world.broker.write(NewRecord(ORDERS.topic, 0, None, written.value, written.headers))
    world.committed("scheduler", ORDERS, 4)
    await world.trimmer.turn()
    assert world.broker.start(ORDERS) == 0
    await world.gates_are_at(1, orders=2)
    await world.trimmer.turn()
    assert world.broker.start(ORDERS) == 1, "job 2 waits at offset 1"
    await world.gates_are_at(2, orders=3)
    await world.gates_are_at(2, orders=4)
    await world.trimmer.turn()
    assert world.broker.start(ORDERS) == 3, "job 4 waits at offset 3, and the older snapshot ends there"


async def test_a_young_ledger_stays_unless_it_is_above_its_cap() -> None:
    for max_bytes, start in ((1 << 40, 0), (10, 10)):
        world = World(keep_ms=60 * MINUTE_MS, max_bytes=max_bytes)
        await world.ledger(claims=5, ends=5)
        await world.store.save(0, world.folds.fold(0).image())
        await world.gates_are_at(10)
        world.committed("materializer", LEDGER, 10)
        await world.trimmer.turn()
        assert world.broker.start(LEDGER) == start


async def test_nothing_goes_while_what_was_read_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trim, "SETTLE_S", 0.0)
    monkeypatch.setattr(trim, "TURN_S", 0.0)
    world = World()
    await world.ledger(claims=5, ends=5)
    world.committed("executor.default", EXEC, 5)
    job = About(f"{EPOCH}:0:9", "01890000-0000-7000-8000-000000000009")
    world.broker.write(ledger_record(ROUTES, job.claimed()))
    await world.trimmer.turn()
    assert world.broker.start(EXEC) == 0, "the ledger goes on beyond what was folded"
    world.folds.take((await world.member.poll(0)).records)
    await world.trimmer.turn()
    assert world.broker.start(EXEC) == 0, "the claim is not acted on for certain"
    await world.commit()
    await world.trimmer.turn()
    assert world.broker.start(EXEC) == 5


async def test_a_partition_that_moves_away_under_a_turn_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trim, "TURN_S", 0.0)
    world = World()
    await world.ledger(claims=5, ends=5)
    world.committed("executor.default", EXEC, 5)
    world.broker.write(ledger_record(ROUTES, About().claimed()))
    turn = asyncio.create_task(world.trimmer.turn())
    await asyncio.sleep(0)
    other = MemoryGroupMember(
        world.broker, group=ROUTES.group("dlq_handler"), instance="two", topics=[ROUTES.ledger, ROUTES.dlq]
    )
    await other.start()
    await world.member.poll(0)
    await asyncio.wait_for(turn, 10)
    assert world.broker.start(EXEC) == 0


async def test_a_log_that_is_away_ends_the_turn_and_the_next_one_trims() -> None:
    world, stopping = World(), asyncio.Event()
    await world.ledger(claims=2, ends=2)
    world.committed("executor.default", EXEC, 2)
    world.broker.faults.go_away()
    with pytest.raises(RetentionUnavailableError):
        await world.trimmer.turn()
    running = asyncio.create_task(world.trimmer.run(stopping, 0.01))
    await asyncio.sleep(0.05)
    world.broker.faults.come_back()
    async with asyncio.timeout(10):
        while not await world.is_trimmed_to(2):
            pass
    stopping.set()
    await asyncio.wait_for(running, 10)
