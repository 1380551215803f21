"""The lease while the broker is away."""

import asyncio

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.telemetry.prometheus import PrometheusMeter
from schemas.topics import RouteMap
from services.executor.context import ExecutorContext
from services.executor.held import Held
from services.executor.leased import Leased

ROUTES = RouteMap(partitions=1)


async def test_an_executor_whose_first_heartbeat_took_too_long_claims_under_a_new_boot_id() -> None:
    now_s = 100.0
    broker = MemoryBroker(lambda: 5)
    broker.create_topics(ROUTES.specs())
    context = ExecutorContext(
        ROUTES,
        MemoryAppender(broker),
        PrometheusMeter(),
        "default",
        "executor-0",
        "0",
        lambda: 5,
        lambda: now_s,
    )

    lapses: list[str] = []

    async def lapsed() -> None:
        lapses.append(leased.boot_id)

    leased = Leased(
        context,
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
