"""What may not wait in an executor is held, what needs a token holds up only itself."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from core.limits import BASIS_SLOTS, SLOT_MS, DemandLog, Limit, Want
from core.log import Record, TopicPartition
from core.subjects import Scope, Subject
from ports.log import Assignment, Batch
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import decode_accepted, decode_executor_if_known, encode
from schemas.control import PauseRecord
from schemas.executors import Demand
from schemas.standing_orders import Standing, StandingOrders
from schemas.topics import RouteMap
from services.executor import fetch
from services.executor.fetch import Fetcher
from services.executor.held import WaitingJob
from services.executor.limit import Came, Limiter
from services.executor.sift import Parker, Sift
from tests.support.executor import executor_context
from tests.support.scoring import standard_law

ROUTES = RouteMap(partitions=1)
LANE = TopicPartition(ROUTES.execution("default", 0), 0)
LIMITED = Subject(Scope.TYPE, "limited")
TENANT = Subject(Scope.TENANT, "acme")


def dispatch(offset: int, type_: str, tenant: str = "t", held_for: str | None = None) -> Record:
    job = AcceptedJob(
        origin=f"e:0:{offset}",
        job_id=f"01234567-89ab-7def-8123-4567{offset:08d}",
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
        held_for=held_for,
    )
    return Record(*LANE, offset, 1, None, encode(QueuedJob(job, offset, 0, 0.0)), ())


class Member:
    """Gives its records once; tells what is committed."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.assignment = Assignment(1, frozenset({0}))
        self.waiting = list(records)
        self.paused: set[TopicPartition] = set()
        self.committed = 0
        self.polls = 0

    async def poll(self, _timeout_s: float, _max_records: int = 2000) -> Batch:
        await asyncio.sleep(0)
        self.polls += 1
        records, self.waiting = self.waiting[:100], self.waiting[100:]
        return Batch(1, [] if self.paused else records)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self.paused -= set(partitions)

    async def commit(self, _assignment: int, positions: dict[TopicPartition, int]) -> bool:
        self.committed = positions[LANE]
        return True


class World:
    """One executor's queue over a log in memory, and the clock."""

    def __init__(self, *records: Record, steals: bool = False) -> None:
        self.now_ms = 10_000
        self.broker = MemoryBroker(lambda: self.now_ms)
        self.broker.create_topics(ROUTES.specs())
        context = executor_context(
            ROUTES,
            MemoryAppender(self.broker),
            lambda: self.now_ms,
            lambda: self.now_ms / 1000,
            instance="me",
        )
        self.orders, self.demand = StandingOrders(), DemandLog()
        self.may_claim = True
        self.over: set[str] = set()
        """Origins of jobs that were claimed or have ended."""
        self.limiter = Limiter(
            context,
            self.orders,
            self.demand,
            wants_more=lambda: True,
            may_claim=lambda: self.may_claim,
        )
        self.member = Member(records)
        self.fetcher = Fetcher(
            cast("Any", self.member),
            context,
            law=lambda: standard_law(""),
            lane_buffer=500,
            sift=Sift(self.orders, self.limiter, self.limiter.stealable if steals else self.limiter.room),
            parker=None if steals else Parker(context, self.is_over, self.orders),
        )

    def is_over(self, waiting: WaitingJob) -> bool:
        return waiting.queued.job.origin in self.over

    async def fetch(self) -> None:
        """Fetch for a while."""
        stopping = asyncio.Event()
        running = asyncio.create_task(self.fetcher.run(stopping, lambda: None, lambda: None))
        for _ in range(200):
            await asyncio.sleep(0)
        stopping.set()
        await running

    def say(self, per_s: float = 100.0, *others: str) -> None:
        """Let time go on by a slot in which the executors say what they want."""
        self.now_ms += SLOT_MS
        for name in (self.limiter.name, *others):
            self.demand.take(self.now_ms, name, {str(LIMITED): Want(per_s), str(TENANT): Want(per_s)})
        self.limiter.read()
        self.limiter.keep_up()

    def take(self, wanted: int = 1000) -> list[str]:
        """Claim: what fits, tokens taken."""
        taken = self.fetcher.take(wanted, self.fits)
        self.fetcher.handled(taken)
        return [waiting.queued.job.origin for waiting in taken]

    def fits(self, waiting: WaitingJob) -> bool:
        may = self.limiter.may_begin(waiting.queued.job, waiting.limits)
        return may and self.limiter.take(waiting.limits)

    def pause(self, subject: Subject) -> None:
        self.orders.pauses[subject] = Standing(PauseRecord(subject.scope, subject.name, paused=True), 0)
        self.fetcher.orders_changed()

    def held(self) -> list[tuple[str, str | None]]:
        jobs = [decode_accepted(record) for record in self.broker.records(ROUTES.held)]
        return [(job.origin, job.held_for) for job in jobs]


@pytest.fixture(autouse=True)
def _commits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "COMMIT_INTERVAL_S", 0.0)


async def test_what_is_paused_is_held_and_everything_behind_it_goes_on() -> None:
    world = World(*(dispatch(n, "paused" if n % 2 else "other") for n in range(2000)))
    world.pause(Subject(Scope.TYPE, "paused"))
    await world.fetch()
    assert world.take() == [f"e:0:{n}" for n in range(0, 2000, 2)][:500]
    assert len(world.held()) >= 500
    assert {held_for for _, held_for in world.held()} == {"pause/type/paused"}


async def test_a_backlog_of_what_is_paused_takes_no_room_and_is_committed_past() -> None:
    world = World(*(dispatch(n, "paused") for n in range(1500)))
    world.pause(Subject(Scope.TYPE, "paused"))
    await world.fetch()
    assert len(world.held()) == 1500
    assert world.member.committed == 1500


async def test_what_was_fetched_before_its_pause_is_held_too() -> None:
    world = World(*(dispatch(n, "a" if n < 3 else "b") for n in range(6)))
    await world.fetch()
    world.pause(Subject(Scope.TYPE, "a"))
    assert world.take() == [f"e:0:{n}" for n in range(3, 6)]
    await world.fetch()
    assert [origin for origin, _ in world.held()] == ["e:0:0", "e:0:1", "e:0:2"]
    assert world.member.committed == 6


async def test_what_was_claimed_or_has_ended_is_not_held_but_committed_past() -> None:
    world = World(*(dispatch(n, "paused") for n in range(4)))
    world.over = {"e:0:1", "e:0:3"}
    world.pause(Subject(Scope.TYPE, "paused"))
    await world.fetch()
    assert [origin for origin, _ in world.held()] == ["e:0:0", "e:0:2"]
    assert world.member.committed == 4


async def test_a_thief_holds_nothing_and_lets_go_of_what_is_paused() -> None:
    world = World(*(dispatch(n, "a") for n in range(3)), steals=True)
    world.pause(Subject(Scope.TYPE, "a"))
    await world.fetch()
    assert world.held() == []
    assert len(world.fetcher) == 0


async def test_a_dispatch_without_a_token_is_passed_by_others_of_its_lane() -> None:
    world = World(*(dispatch(n, "limited" if n < 5 else "other") for n in range(8)))
    world.orders.limits[LIMITED] = Limit(2.0, 1.0)
    await world.fetch()
    assert world.take() == ["e:0:5", "e:0:6", "e:0:7"]
    for _ in range(6):
        world.say()
    assert world.take() == ["e:0:0"]
    assert world.take() == []
    assert world.limiter.next_in_s() == pytest.approx(0.5, abs=0.2)
    world.say()
    assert world.take() == ["e:0:1"]


async def test_more_than_a_room_of_a_limit_is_held_and_what_came_back_has_a_room_of_its_own() -> None:
    limit = Limit(2.0, 1.0)
    new = [dispatch(n, "limited") for n in range(limit.room + 5)]
    back = [dispatch(100 + n, "limited", held_for="limit/type/limited") for n in range(limit.room + 2)]
    world = World(*new, *back)
    world.orders.limits[LIMITED] = limit
    await world.fetch()
    assert len(world.fetcher) == 2 * limit.room
    assert len(world.held()) == 7
    assert {held_for for _, held_for in world.held()} == {"limit/type/limited"}
    # A limit that is taken away frees what waits, and counts nothing any more.
    world.orders.limits.clear()
    world.fetcher.orders_changed()
    await world.fetch()
    assert len(world.take()) == 2 * limit.room
    assert world.limiter.next_in_s() is None


async def test_what_came_back_for_one_limit_is_not_held_for_another() -> None:
    """Or it would go to and fro between the two."""
    limit = Limit(2.0, 1.0)
    new = [dispatch(n, "limited", "acme") for n in range(limit.room)]
    back = [dispatch(100 + n, "limited", "acme", held_for="limit/tenant/acme") for n in range(limit.room)]
    world = World(*new, *back)
    world.orders.limits |= {LIMITED: limit, TENANT: limit}
    await world.fetch()
    assert world.held() == []
    assert world.limiter.room[TENANT, Came.BACK] == limit.room
    assert world.limiter.room[LIMITED, Came.BACK] == 0


async def test_a_job_of_two_limits_takes_a_token_of_each_or_of_none() -> None:
    world = World(dispatch(0, "limited", "acme"), dispatch(1, "limited"), dispatch(2, "x", "acme"))
    world.orders.limits |= {LIMITED: Limit(100.0, 10.0), TENANT: Limit(0.1, 1.0)}
    await world.fetch()
    for _ in range(7):
        world.say()
    assert world.take() == ["e:0:1"]
    for _ in range(20):
        world.say()
    assert world.take() == ["e:0:0"]
    assert world.take() == []


async def test_what_is_limited_only_now_is_not_claimed_before_it_is_sifted_again() -> None:
    world = World(dispatch(0, "limited"))
    await world.fetch()
    world.orders.limits[LIMITED] = Limit(100.0, 10.0)
    for _ in range(4):
        world.say()
    assert world.take() == []
    world.fetcher.orders_changed()
    await world.fetch()
    world.say()
    assert world.take() == ["e:0:0"]


async def test_a_token_comes_back_when_nothing_was_claimed_with_it() -> None:
    world = World()
    world.orders.limits[LIMITED] = Limit(1.0, 1.0)
    for _ in range(6):
        world.say()
    assert world.limiter.take([LIMITED])
    assert not world.limiter.take([LIMITED])
    world.limiter.give_back([LIMITED])
    assert world.limiter.take([LIMITED])


async def test_an_executor_that_reads_nothing_any_more_takes_no_tokens() -> None:
    world = World()
    world.orders.limits[LIMITED] = Limit(100.0, 25.0)
    for _ in range(6):
        world.say()
    assert world.limiter.take([LIMITED])
    world.now_ms += BASIS_SLOTS * SLOT_MS
    assert not world.limiter.take([LIMITED])


async def test_what_is_wanted_is_said_in_every_slot_and_at_the_end_that_nothing_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.executor.limit.SLOT_MS", 10)
    world = World(*(dispatch(n, "limited") for n in range(3)))
    stopping = asyncio.Event()
    saying = asyncio.create_task(world.limiter.run(stopping))
    await asyncio.sleep(0.05)
    assert world.broker.records(ROUTES.executors) == []
    world.orders.limits[LIMITED] = Limit(2.0, 1.0)
    await world.fetch()
    await asyncio.sleep(0.1)
    world.may_claim = False
    await asyncio.sleep(0.05)
    stopping.set()
    await saying
    said = [decode_executor_if_known(record) for record in world.broker.records(ROUTES.executors)]
    demands = [one for one in said if isinstance(one, Demand)]
    assert len(demands) > 3
    assert (3.0, 0) in [one.wants.get(str(LIMITED)) for one in demands]
    assert [one.name for one in demands if one.leaving] == [demands[0].name] == [demands[-1].name]
    assert demands[-1].leaving
    assert world.limiter.name != demands[0].name
