"""Keeps looking whether the topics a service works on are still those of its epoch."""

import asyncio
import logging

from aiokafka.errors import KafkaError

from adapters.kafka.admin import refuse_changes
from adapters.kafka.cluster import ClusterClient
from core.epoch import Change, differences
from penstock.connection import KafkaConnection
from schemas.control import EpochRecord
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 5.0
"""How long a service may work on a topic that was recreated; one request of 4 ms each time."""
MISSING_IN_A_ROW = 3
"""So often a topic must be missing: a broker that has just come up may not know it yet."""


async def watch_epoch(
    connection: KafkaConnection,
    routes: RouteMap,
    epoch: EpochRecord,
    client_id: str,
    interval_s: float = WATCH_INTERVAL_S,
) -> None:
    """Return never; raise when the topics are not those of the epoch any more.

    A broker that is away says nothing, and is asked again.

    Raises
    ------
    adapters.kafka.admin.EpochError
        The service must stop: what it folded is not what stands in the log.
    """
    names = [spec.name for spec in routes.specs()]
    client = ClusterClient(connection, client_id=f"{client_id}-topics")
    missing = 0
    try:
        await _started(client, interval_s)
        while True:
            await asyncio.sleep(interval_s)
            try:
                view = await client.describe(names)
            except (KafkaError, OSError) as error:
                logger.debug("topics not checked: %s", error)
                continue
            found = differences(epoch.cluster_id, epoch.topics, view, names, epoch.epoch)
            gone = any(difference.change is Change.MISSING for difference in found)
            missing = missing + 1 if gone else 0
            if missing >= MISSING_IN_A_ROW or (found and not gone):
                refuse_changes(epoch, view, names)
    finally:
        await client.close()


async def _started(client: ClusterClient, pause_s: float) -> None:
    while True:
        try:
            await client.start()
        except (KafkaError, OSError):
            await asyncio.sleep(pause_s)
        else:
            return
