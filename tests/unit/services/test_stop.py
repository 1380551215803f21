"""A service that is told to stop waits for nobody: its member leaves the group only afterwards."""

import asyncio

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from adapters.telemetry.prometheus import PrometheusMeter
from core.run_times import RunTimes
from schemas.topics import RouteMap
from services.executor.context import ExecutorContext
from services.executor.drain import DrainWatch
from services.executor.held import Held
from services.executor.leased import Leased
from services.prioritizer.learn import Learner

ROUTES = RouteMap(partitions=1)
SOON_S = 1.0


def _broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: 5)
    broker.create_topics(ROUTES.specs())
    return broker


async def test_an_executor_that_waits_for_an_operators_word_stops_soon() -> None:
    async def lapsed() -> None: ...

    broker = _broker()
    context = ExecutorContext(
        ROUTES,
        MemoryAppender(broker),
        PrometheusMeter(),
        "default",
        "executor-0",
        "0",
        lambda: 5,
        lambda: 5.0,
    )
    leased = Leased(
        context,
        Held(),
        slots=1,
        lease_s=10.0,
        heartbeat_s=1.0,
        types=tuple,
        renew=lambda _: None,
        lapsed=lapsed,
    )
    stopping = asyncio.Event()
    watch = asyncio.create_task(DrainWatch(MemoryReader(broker), ROUTES, leased, "executor-0").run(stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    await asyncio.wait_for(watch, SOON_S)


async def test_a_prioritizer_that_waits_for_run_times_stops_soon() -> None:
    learner = Learner(MemoryReader(_broker()), ROUTES, RunTimes())
    await learner.start()
    stopping = asyncio.Event()
    learning = asyncio.create_task(learner.run(stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    await asyncio.wait_for(learning, SOON_S)
