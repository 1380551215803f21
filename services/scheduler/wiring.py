"""The scheduler's parts and what connects them."""

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import cast

from adapters.runtime.service import Service
from adapters.runtime.spilling_keys import KeyMemory
from ports.passages import PassageLog
from services.scheduler.admit import Admitter
from services.scheduler.decide import due_ms_of
from services.scheduler.hold import Heads
from services.scheduler.known import KnownKeys
from services.scheduler.last_stretch import LastStretch
from services.scheduler.measure import Measures
from services.scheduler.schedule import Positions, Scheduler
from services.scheduler.settings import SchedulerSettings
from services.scheduler.tell import Teller, TellRule, begin_at_passages


async def run(service: Service) -> None:
    """Let jobs pass the gates and the wheel until the service is told to stop."""
    settings = cast("SchedulerSettings", service.settings)
    routes, now_ms = service.routes, service.clock.now_ms
    tier_of = {topic: tier for tier, topic in enumerate(routes.delays)}
    window_ms = int(settings.key_window_s * 1000)
    memory = KeyMemory(settings.known_keys_max_bytes, settings.spill_dir or None)
    admitter = Admitter(routes, service.meter, now_ms, service.epoch.epoch, window_ms, memory.store)
    positions = Positions(routes, admitter)
    async with AsyncExitStack() as stack:
        reader = await service.reader()
        stack.push_async_callback(reader.close)
        passages = PassageLog(routes, service.epoch.epoch, reader)
        restore = partial(begin_at_passages, passages, admitter.gate, routes.gates)
        topics = [routes.gates, *routes.delays]
        member = await service.join(topics, start_at=positions.start_at, restore=restore)
        stack.push_async_callback(member.close)
        rule = TellRule(settings.gates_told_every, settings.gates_told_every_s)
        teller = Teller(passages, service.appender, member, admitter.gate, routes.gates, rule, time.monotonic)
        known = KnownKeys(
            admitter, lambda: member.assignment.partitions, service.meter, lambda: memory.spilled
        )
        scheduler = Scheduler(
            routes=routes,
            member=member,
            appender=service.appender,
            now_ms=now_ms,
            admitter=admitter,
            positions=positions,
            heads=Heads(tier_of),
            stretch=LastStretch(due_ms_of),
            measures=Measures(service.meter, now_ms, tier_of),
        )

        def turn() -> None:
            service.health.beat()
            if scheduler.is_restored:
                service.health.set_ready()
            else:
                service.health.set_unready("reading the gates")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(teller.run(service.stopping))
            tasks.create_task(known.run(service.stopping))
            tasks.create_task(scheduler.run(service.stopping, turn))
