"""What is held is handed on, and not before, whatever crashes, repeats, is trimmed or has two owners."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.progress import MemoryGroupProgress
from adapters.memory.reader import MemoryReader
from adapters.telemetry.prometheus import PrometheusMeter
from core.limits import Limit, Want
from core.log import Appended, NewRecord, Record
from core.subjects import Cause, HeldFor, Scope, Subject
from penstock.identity import home
from ports.demand import DemandWatch
from ports.held_marks import HeldMarkLog
from ports.log import Assignment
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted
from schemas.control import PauseRecord
from schemas.held import HELD_KIND, held_record
from schemas.standing_orders import Standing, StandingOrders
from schemas.topics import RouteMap
from services.scheduler import hand_on, reread
from services.scheduler.hand_on import HandOn
from services.scheduler.reread import Rereads
from services.scheduler.tell import TellRule

ROUTES = RouteMap(partitions=2)
EPOCH = "e"
TYPE_A, TYPE_B = Subject(Scope.TYPE, "a"), Subject(Scope.TYPE, "b")
TENANT = Subject(Scope.TENANT, "acme")
SUBJECTS = (TYPE_A, TYPE_B, TENANT)
LIMITED = Subject(Scope.TYPE, "b")


class CrashError(Exception):
    """The process died in the middle of an append."""


class DyingAppender(MemoryAppender):
    """Writes as many records as it lives for, over however many appends, and then none of the rest."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.lives_for: int | None = None

    @override
    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        if self.lives_for is None:
            return await super().append(records)
        written = await super().append(records[: self.lives_for])
        self.lives_for -= len(written)
        if len(written) < len(records) or (records and not self.lives_for):
            raise CrashError
        return written


class Tail(MemoryReader):
    """Gives one record at every third time when it is slow: what a scheduler wrote comes back to it late."""

    is_slow = False

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self._polls = 0

    @override
    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        if not self.is_slow:
            return await super().poll(timeout_s, max_records)
        self._polls += 1
        return await super().poll(timeout_s, 1) if self._polls % 3 == 0 else []


class Again(MemoryReader):
    """Reads again what grows meanwhile."""

    def __init__(self, broker: MemoryBroker, meanwhile: list[Callable[[], None]]) -> None:
        super().__init__(broker)
        self._meanwhile = meanwhile

    @override
    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        while self._meanwhile:
            self._meanwhile.pop()()
        return await super().poll(timeout_s, max_records)


class World:
    """A broker, orders, and schedulers that come and go."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.broker = MemoryBroker(lambda: int(self.now_s * 1000))
        self.broker.create_topics(ROUTES.specs())
        self.appender = DyingAppender(self.broker)
        self.meanwhile: list[Callable[[], None]] = []
        """What happens while a scheduler reads again."""
        self.tell_rule = TellRule(1, 0.0)
        self.orders = StandingOrders()
        self.jobs = 0
        self.demand = DemandWatch(MemoryReader(self.broker), ROUTES)
        self.demand.is_known = True
        self.waiting = 0
        """Dispatches that came back to the one executor there is, as it says."""
        self.schedulers = [self.scheduler(), self.scheduler()]

    def scheduler(self) -> HandOn:
        return HandOn(
            ROUTES,
            self.appender,
            cast("Any", SimpleNamespace(assignment=Assignment(1, frozenset(range(ROUTES.partitions))))),
            Tail(self.broker),
            Rereads(Again(self.broker, self.meanwhile), ROUTES.held),
            HeldMarkLog(ROUTES, EPOCH, MemoryReader(self.broker)),
            self.orders,
            self.demand,
            MemoryGroupProgress(self.broker, group=ROUTES.group("prioritizer")),
            PrometheusMeter(),
            lambda: int(self.now_s * 1000),
            self.tell_rule,
            lambda: self.now_s,
        )

    def park(self, held_for: HeldFor, type_: str, tenant: str) -> None:
        job = AcceptedJob(
            origin=f"{EPOCH}:0:{self.jobs}",
            job_id=f"01890000-0000-7000-8000-{self.jobs:012d}",
            type=type_,
            tenant=tenant,
            pool="default",
            payload=msgspec.Raw(b"{}"),
            priority=5,
            submitted_ms=1,
            timeout_s=300,
            max_attempts=5,
            body_hash="0" * 16,
            trace_id="0" * 32,
        )
        self.jobs += 1
        self.broker.write(held_record(ROUTES, job, held_for))

    def pause(self, subject: Subject) -> None:
        self.orders.pauses[subject] = Standing(PauseRecord(subject.scope, subject.name, paused=True), 0)

    async def turn(self, number: int, lives_for: int | None) -> None:
        """One turn of one scheduler; one that dies after so many records is started anew."""
        before = len(self.ready())
        self.appender.lives_for = lives_for
        wants = {str(LIMITED): Want(9.0, self.waiting)}
        self.demand.log.take(int(self.now_s * 1000), "executor-0", wants)
        try:
            await self.schedulers[number].turn()
        except CrashError:
            self.schedulers[number] = self.scheduler()
        self.appender.lives_for = None
        for job in self.ready()[before:]:
            assert self.orders.pause_of(job) is None, "handed on although it is paused"
        self.commit_ready()
        self.now_s += 0.6

    def commit_ready(self) -> None:
        for place in self.broker.partitions_of(ROUTES.ready):
            self.broker.group(ROUTES.group("prioritizer")).commit(place, self.broker.end(place))

    def ready(self) -> list[AcceptedJob]:
        records = sorted(self.broker.records(ROUTES.ready), key=lambda record: record.timestamp_ms)
        return [decode_accepted(record) for record in records]

    async def trim(self) -> None:
        marks = HeldMarkLog(ROUTES, EPOCH, MemoryReader(self.broker))
        for place in self.broker.partitions_of(ROUTES.held):
            newest = await marks.newest(place.partition)
            if newest is not None:
                self.broker.trim(place, newest.oldest)

    async def settle(self) -> None:
        """Resume everything, and go on until nothing is handed on any more."""
        self.orders.pauses.clear()
        while self.meanwhile:
            self.meanwhile.pop()()
        quiet = 0
        while quiet < 6:
            before = len(self.ready())
            for number in range(len(self.schedulers)):
                await self.turn(number, None)
            quiet = quiet + 1 if len(self.ready()) == before else 0


parks = st.tuples(
    st.sampled_from(["park", "park meanwhile"]),
    st.sampled_from([*SUBJECTS, LIMITED]),
    st.sampled_from("ab"),
    st.sampled_from(["acme", "x"]),
)
steps = st.lists(
    st.one_of(
        parks,
        parks,
        st.tuples(st.just("pause"), st.sampled_from(SUBJECTS)),
        st.tuples(st.just("resume"), st.sampled_from(SUBJECTS)),
        st.tuples(st.just("turn"), st.integers(0, 1), st.integers(0, 8)),
        st.tuples(st.just("turn"), st.integers(0, 1), st.none()),
        st.tuples(st.just("trim")),
    ),
    max_size=40,
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_on, "TURN_S", 0.0)
    monkeypatch.setattr(hand_on, "NO_ROOM_S", 0.0)
    monkeypatch.setattr(reread, "PART_RECORDS", 3)
    monkeypatch.setattr(reread, "POLL_RECORDS", 2)


@settings(deadline=None)
@given(steps=steps, limited=st.booleans())
def test_whatever_happens_every_held_job_is_handed_on_and_none_while_it_is_paused(
    steps: list[tuple[Any, ...]], limited: bool
) -> None:
    async def walk() -> World:
        world = World()
        if limited:
            world.orders.limits[LIMITED] = Limit(2.0, 1.0)
        for step in steps:
            match step:
                case ("park" | "park meanwhile" as when, subject, type_, tenant):
                    cause = Cause.LIMIT if subject is LIMITED and limited else Cause.PAUSE
                    park = partial(world.park, HeldFor(cause, subject), type_, tenant)
                    if when == "park":
                        park()
                    else:
                        world.meanwhile.append(park)
                case ("pause", subject):
                    world.pause(subject)
                case ("resume", subject):
                    world.orders.pauses.pop(subject, None)
                case ("turn", number, lives_for):
                    await world.turn(number, lives_for)
                case _:
                    await world.trim()
        await world.settle()
        return world

    world = asyncio.run(walk())
    handed = {job.origin for job in world.ready()}
    assert handed == {f"{EPOCH}:0:{number}" for number in range(world.jobs)}


async def test_one_scheduler_without_crashes_hands_each_job_on_once_and_parks_none_twice() -> None:
    world = World()
    world.pause(TYPE_A)
    for _ in range(50):
        world.park(HeldFor(Cause.PAUSE, TYPE_A), "a", "x")
    for _ in range(5):
        await world.turn(0, None)
    assert world.ready() == []
    assert len(world.broker.records(ROUTES.held)) == 50
    world.orders.pauses.clear()
    world.schedulers = world.schedulers[:1]
    await world.settle()
    assert Counter(job.origin for job in world.ready()).most_common(1)[0][1] == 1
    assert len(world.ready()) == 50


async def test_nothing_is_handed_on_again_before_it_is_read_back_nor_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Tail, "is_slow", True)
    world = World()
    world.tell_rule = TellRule(10**9, 10**9)
    world.schedulers = [world.scheduler()]
    for _ in range(20):
        world.park(HeldFor(Cause.PAUSE, TYPE_A), "a", "x")
    for _ in range(150):
        await world.turn(0, None)
    assert len(world.ready()) == 20
    world.schedulers = [world.scheduler()]
    for _ in range(150):
        await world.turn(0, None)
    assert len(world.ready()) == 20


async def test_what_is_paused_otherwise_too_is_held_for_that_once() -> None:
    world = World()
    world.schedulers = world.schedulers[:1]
    world.pause(TENANT)
    world.pause(TYPE_A)
    world.park(HeldFor(Cause.PAUSE, TYPE_A), "a", "acme")
    world.orders.pauses.pop(TYPE_A)
    for _ in range(5):
        await world.turn(0, None)
    held = [record for record in world.broker.records(ROUTES.held) if record.header("kind") == HELD_KIND]
    assert [record.header("held_for") for record in held] == [b"pause/type/a", b"pause/tenant/acme"]
    assert world.ready() == []
    await world.settle()
    assert len(world.ready()) == 1


async def test_a_limited_subject_gets_back_no_more_than_executors_have_room_for() -> None:
    world = World()
    world.schedulers = world.schedulers[:1]
    world.orders.limits[LIMITED] = Limit(2.0, 1.0)
    for _ in range(40):
        world.park(HeldFor(Cause.LIMIT, LIMITED), "b", "x")
    await world.turn(0, None)
    await world.turn(0, None)
    await world.turn(0, None)
    first = len(world.ready())
    assert 0 < first <= Limit(2.0, 1.0).returned_max
    # Executors say that all of them wait there: nothing more comes, however long.
    world.waiting = Limit(2.0, 1.0).returned_max
    for _ in range(6):
        await world.turn(0, None)
    assert len(world.ready()) == first
    # An executor that is gone wants nothing either.
    world.waiting = 0
    for _ in range(6):
        world.now_s += 9.0
        await world.schedulers[0].turn()
    assert len(world.ready()) == first
    del world.orders.limits[LIMITED]
    await world.settle()
    assert len(world.ready()) == 40


async def test_what_comes_back_to_a_limit_comes_from_all_partitions_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reread, "PART_RECORDS", 100)
    monkeypatch.setattr(reread, "POLL_RECORDS", 100)
    world = World()
    world.schedulers = world.schedulers[:1]
    world.orders.limits[LIMITED] = Limit(1.0, 1.0)
    for _ in range(40):
        world.park(HeldFor(Cause.LIMIT, LIMITED), "b", "x")
    for _ in range(15):
        await world.turn(0, None)
    by_partition = Counter(record.partition for record in world.broker.records(ROUTES.ready))
    assert 12 < by_partition.total() < 32
    assert abs(by_partition[0] - by_partition[1]) <= 2


async def test_new_jobs_wait_behind_no_more_than_a_bounded_number_of_held_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hand_on, "READY_MAX", 10)
    world = World()
    for _ in range(100):
        world.park(HeldFor(Cause.PAUSE, TYPE_A), "a", "x")
    monkeypatch.setattr(world, "commit_ready", lambda: None)
    for _ in range(40):
        await world.turn(0, None)
    by_partition = Counter(record.partition for record in world.broker.records(ROUTES.ready))
    assert set(by_partition.values()) == {10}


async def test_a_scheduler_behind_the_trimmed_start_begins_anew() -> None:
    world = World()
    for _ in range(10):
        world.park(HeldFor(Cause.PAUSE, TYPE_A), "a", "x")
    world.pause(TYPE_A)
    await world.turn(1, None)
    world.orders.pauses.clear()
    for _ in range(12):
        await world.turn(0, None)
    world.now_s += 2
    await world.turn(0, None)
    await world.trim()
    starts = [world.broker.start(place) for place in world.broker.partitions_of(ROUTES.held)]
    assert max(starts) > 0
    for _ in range(12):
        await world.turn(1, None)
    assert {job.origin for job in world.ready()} == {f"{EPOCH}:0:{number}" for number in range(10)}


def test_a_job_goes_home_when_it_is_held_and_when_it_is_handed_on() -> None:
    world = World()
    world.park(HeldFor(Cause.PAUSE, TYPE_A), "a", "x")
    [record] = world.broker.records(ROUTES.held)
    assert record.partition == home(decode_accepted(record).job_id, ROUTES.partitions)
