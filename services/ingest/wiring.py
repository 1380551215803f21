"""Ingest's parts and what connects them."""

import logging
from typing import cast

from adapters.runtime.service import Service
from ports.stage import run_stage
from services.ingest.decide import IngestContext
from services.ingest.hand_over import HandOver
from services.ingest.settings import IngestSettings

logger = logging.getLogger(__name__)


async def run(service: Service) -> None:
    """Take in records of ``jobs`` until the service is told to stop."""
    settings = cast("IngestSettings", service.settings)
    routes = service.routes
    context = IngestContext(
        epoch=service.epoch.epoch,
        partitions=routes.partitions,
        pools=frozenset(routes.pools),
        record_max_bytes=settings.record_max_bytes,
    )
    hand_over = HandOver(routes, service.appender, service.meter, service.clock.now_ms, context)
    member = await service.join([routes.jobs])

    def turn() -> None:
        service.health.beat()
        if member.assignment.number:
            service.health.set_ready()

    try:
        await run_stage(member, hand_over.work, stopping=service.stopping, turn=turn)
    finally:
        await member.close()
