"""The prioritizer's parts and what connects them."""

import asyncio
from typing import cast

from adapters.runtime.service import Service
from core.run_times import RunTimes
from ports.control import ControlWatch
from ports.feature_view import FeatureView
from ports.outcomes import OutcomeReporter
from ports.stage import run_stage
from services.prioritizer.hand_over import HandOver
from services.prioritizer.learn import Learner
from services.prioritizer.settings import PrioritizerSettings


async def run(service: Service) -> None:
    """Score what becomes ready until the service is told to stop."""
    settings = cast("PrioritizerSettings", service.settings)
    routes, run_times = service.routes, RunTimes()
    reader = await service.reader()
    feature_reader = await service.reader()
    features = FeatureView(feature_reader, routes, service.meter)
    await features.start()
    learner = Learner(reader, routes, run_times, features)
    await learner.start()
    control_reader = await service.reader()
    control = ControlWatch(control_reader, routes)
    await control.start()
    outcomes = OutcomeReporter(
        routes, service.appender, service.meter, service.clock.now_ms, source=service.instance
    )
    hand_over = HandOver(
        routes,
        service.appender,
        service.meter,
        service.clock.now_ms,
        run_times,
        settings.rule,
        control.orders,
        outcomes,
    )
    member = await service.join([routes.ready])

    def turn() -> None:
        service.health.beat()
        if member.assignment.number:
            service.health.set_ready()

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(learner.run(service.stopping))
            tasks.create_task(features.run(service.stopping))
            tasks.create_task(control.run(service.stopping))
            tasks.create_task(outcomes.run(service.stopping))
            tasks.create_task(run_stage(member, hand_over.work, stopping=service.stopping, turn=turn))
    finally:
        await member.close()
        await reader.close()
        await control_reader.close()
        await feature_reader.close()
