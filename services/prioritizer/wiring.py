"""The prioritizer's parts and what connects them."""

import asyncio
from typing import cast

from adapters.learned.canary import Canary
from adapters.learned.own import OwnModel, own_model
from adapters.runtime.service import Service
from core.learning.law import OLDEST_SHARE, Order, law_of
from core.learning.preemption import Mode
from core.learning.trust import Trusts
from core.learning.vector_budget import VectorBudget
from core.run_times import RunTimes
from ports.control import ControlWatch
from ports.feature_view import FeatureView
from ports.meter import Meter
from ports.model_watch import ModelWatch
from ports.outcomes import OutcomeReporter
from ports.stage import run_stage
from services.prioritizer.expect import Expecter, ModelsInForce
from services.prioritizer.hand_over import HandOver
from services.prioritizer.learn import Learner
from services.prioritizer.preempt import Preemptor
from services.prioritizer.settings import PrioritizerSettings


async def run(service: Service) -> None:
    """Score what becomes ready until the service is told to stop."""
    settings = cast("PrioritizerSettings", service.settings)
    is_learned = settings.order is Order.LEARNED
    routes, run_times, trusts = service.routes, RunTimes(), Trusts()
    reader, feature_reader, model_reader, control_reader = [await service.reader() for _ in range(4)]
    features = FeatureView(feature_reader, routes, service.meter)
    await features.start()
    models = ModelWatch(model_reader, routes, service.meter, try_out=Canary(settings.model.key_bytes).try_out)
    await models.start()
    in_force = OwnModel(own_model(settings.own_model), models) if settings.own_model else models
    learner = Learner(reader, routes, run_times, features, trusts)
    await learner.start()
    control = ControlWatch(control_reader, routes)
    await control.start()
    now_ms = service.clock.now_ms
    outcomes = OutcomeReporter(routes, service.appender, service.meter, now_ms, source=service.instance)
    expecter = Expecter(
        view=features,
        models=in_force if is_learned else None,
        run_times=run_times,
        trusts=trusts,
        budget=VectorBudget(settings.vectors_per_s),
        meter=service.meter,
        foresees=settings.preempt is not Mode.OFF,
    )
    hand_over = HandOver(
        routes,
        service.appender,
        service.meter,
        now_ms,
        expecter,
        lambda pool: law_of(models.law(pool) if is_learned else None, settings.rule, OLDEST_SHARE),
        control.orders,
        outcomes,
        _preemptor(settings, in_force if is_learned else None, service.meter),
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
            tasks.create_task(models.run(service.stopping))
            tasks.create_task(control.run(service.stopping))
            tasks.create_task(outcomes.run(service.stopping))
            tasks.create_task(run_stage(member, hand_over.work, stopping=service.stopping, turn=turn))
    finally:
        await member.close()
        await reader.close()
        await control_reader.close()
        await feature_reader.close()
        await model_reader.close()


def _preemptor(settings: PrioritizerSettings, models: ModelsInForce | None, meter: Meter) -> Preemptor | None:
    """Give what looks at jobs that are expected to fail; None: nobody does."""
    if settings.preempt is Mode.OFF:
        return None
    return Preemptor(settings.preempt, settings.preempt_rule, models, meter)
