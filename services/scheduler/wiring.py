"""The scheduler's parts and what connects them."""

from typing import cast

from adapters.runtime.service import Service
from services.scheduler.admit import Admitter
from services.scheduler.hold import Heads
from services.scheduler.measure import Measures
from services.scheduler.schedule import Positions, Scheduler
from services.scheduler.settings import SchedulerSettings


async def run(service: Service) -> None:
    """Let jobs pass the gates and the wheel until the service is told to stop."""
    settings = cast("SchedulerSettings", service.settings)
    routes, now_ms = service.routes, service.clock.now_ms
    tier_of = {topic: tier for tier, topic in enumerate(routes.delays)}
    window_ms = int(settings.key_window_s * 1000)
    admitter = Admitter(routes, service.meter, now_ms, service.epoch.epoch, window_ms)
    positions = Positions(routes, admitter)
    member = await service.join([routes.gates, *routes.delays], start_at=positions.start_at)
    scheduler = Scheduler(
        routes=routes,
        member=member,
        appender=service.appender,
        now_ms=now_ms,
        admitter=admitter,
        positions=positions,
        heads=Heads(tier_of),
        measures=Measures(service.meter, now_ms, tier_of),
    )

    def turn() -> None:
        service.health.beat()
        if scheduler.is_restored:
            service.health.set_ready()
        else:
            service.health.set_unready("reading the gates from the log's start")

    try:
        await scheduler.run(service.stopping, turn)
    finally:
        await member.close()
