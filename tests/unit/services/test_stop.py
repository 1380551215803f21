"""A service that is told to stop waits for nobody: its member leaves the group only afterwards."""

import asyncio

from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.trust import Trusts
from core.run_times import RunTimes
from ports.control import ControlWatch
from ports.demand import DemandWatch
from ports.feature_view import FeatureView
from schemas.topics import RouteMap
from services.prioritizer.learn import Learner

ROUTES = RouteMap(partitions=1)
SOON_S = 1.0


def _broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: 5)
    broker.create_topics(ROUTES.specs())
    return broker


async def test_a_service_that_waits_for_an_operators_word_stops_soon() -> None:
    control = ControlWatch(MemoryReader(_broker()), ROUTES)
    await control.start()
    stopping = asyncio.Event()
    watch = asyncio.create_task(control.run(stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    await asyncio.wait_for(watch, SOON_S)


async def test_an_executor_that_waits_for_what_others_want_stops_soon() -> None:
    stopping = asyncio.Event()
    watch = asyncio.create_task(DemandWatch(MemoryReader(_broker()), ROUTES).run(stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    await asyncio.wait_for(watch, SOON_S)


async def test_a_prioritizer_that_waits_for_run_times_stops_soon() -> None:
    view = FeatureView(MemoryReader(_broker()), ROUTES, PrometheusMeter())
    learner = Learner(MemoryReader(_broker()), ROUTES, RunTimes(), view, Trusts())
    await learner.start()
    stopping = asyncio.Event()
    learning = asyncio.create_task(learner.run(stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    await asyncio.wait_for(learning, SOON_S)
