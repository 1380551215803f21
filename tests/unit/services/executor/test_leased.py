"""The lease while the broker is away."""

import asyncio
import itertools
from collections.abc import Callable

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from core.lease import margin_s
from schemas.codec import decode_executor
from schemas.executors import Heartbeat
from schemas.topics import RouteMap
from services.executor.context import ExecutorContext
from services.executor.held import Held
from services.executor.leased import Leased
from tests.support.executor import executor_context

ROUTES = RouteMap(partitions=1)


def _context(broker: MemoryBroker, now_s: Callable[[], float]) -> ExecutorContext:
    broker.create_topics(ROUTES.specs())
    return executor_context(ROUTES, MemoryAppender(broker), lambda: 5, now_s)


async def test_workers_are_told_when_the_lease_ends_however_late_they_are_told() -> None:
    """An executor that is stopped between the confirmation and the renewal lengthens nothing."""
    clock_s = itertools.count(100.0, 2.0)
    told: list[float] = []

    async def lapsed() -> None: ...

    leased = Leased(
        _context(MemoryBroker(lambda: 5), lambda: next(clock_s)),
        Held(),
        slots=1,
        lease_s=10.0,
        heartbeat_s=0.01,
        types=tuple,
        renew=told.append,
        lapsed=lapsed,
    )
    stopped = asyncio.Event()
    async with asyncio.timeout(5):
        await leased.beat(stopped, stopped.set)
    # The heartbeat was sent at 100; every look at the clock since then took two seconds.
    assert told == [100.0 + 10.0 - margin_s(10.0)]


async def test_an_executor_whose_first_heartbeat_took_too_long_claims_under_a_new_boot_id() -> None:
    now_s = 100.0
    broker = MemoryBroker(lambda: 5)
    lapses: list[str] = []

    async def lapsed() -> None:
        lapses.append(leased.boot_id)

    leased = Leased(
        _context(broker, lambda: now_s),
        Held(),
        slots=1,
        lease_s=10.0,
        heartbeat_s=0.01,
        types=tuple,
        renew=lambda _: None,
        lapsed=lapsed,
    )
    stopped, confirmed = asyncio.Event(), asyncio.Event()
    broker.faults.go_away()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(leased.watch(stopped))
        tasks.create_task(leased.beat(stopped, lambda: confirmed.set() if leased.may_claim else None))
        await asyncio.sleep(0)
        now_s += 60.0
        broker.faults.come_back()
        await confirmed.wait()
        stopped.set()
    assert leased.may_claim
    assert lapses
    assert leased.boot_id not in lapses
    beats = [decode_executor(record) for record in broker.records(ROUTES.executors)]
    said = [(beat.executor in lapses, beat.goodbye) for beat in beats if isinstance(beat, Heartbeat)]
    # The stuck heartbeat landed first, listing what was dropped; the goodbye behind it takes that back.
    assert said[:3] == [(True, False), (True, True), (False, False)]
