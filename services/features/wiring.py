"""The parts of the feature fold and what connects them."""

import asyncio
from typing import cast

from adapters.runtime.service import Service
from adapters.streams.faust_fold import FaustFold
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from schemas.feature_states import home_of
from services.features.fold import OutcomeFold
from services.features.publish import Publisher
from services.features.settings import FeaturesSettings


async def run(service: Service) -> None:
    """Fold outcomes and publish features until the service is told to stop."""
    settings = cast("FeaturesSettings", service.settings)
    routes, stopping = service.routes, service.stopping
    fold = OutcomeFold(routes, service.meter)
    stream = FaustFold(
        settings.kafka,
        fold,
        group=routes.group(service.name),
        instance=service.instance,
        source=routes.outcomes,
        changelog=routes.feature_states,
        partitions=routes.partitions,
        home=lambda name: home_of(name, routes.learning_partitions),
        session_timeout_s=settings.session_timeout_s,
    )
    publisher = Publisher(fold, service.appender, settings.features_publish_s)

    joined = False

    def turn() -> None:
        nonlocal joined
        service.health.beat()
        if stream.is_settled:
            reached(Failpoint.JOINED, when=not joined)
            joined = True
            service.health.set_ready()
        else:
            service.health.set_unready("waiting for partitions of the outcomes")
        service.meter.gauge(Metric.LAG, stream.lag(), topic=routes.outcomes)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.run(stopping))
        tasks.create_task(stream.run(stopping, turn))
