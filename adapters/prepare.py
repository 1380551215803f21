"""Makes a cluster and a database ready: topics, epoch, tables. Idempotent; `penstock up` runs it first."""

import asyncio
import sys

from aiokafka.errors import KafkaError

from adapters.kafka.admin import EpochError, prepare_topics
from adapters.kafka.topology import route_map
from adapters.postgres.migrate import upgrade
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames


async def prepare(
    kafka: KafkaConnection, database: DatabaseConnection, names: PipelineNames
) -> tuple[int, str]:
    """Create what is missing; give the number of topics made and the epoch."""
    routes = route_map(names)
    made, epoch = await prepare_topics(kafka, routes, names.replication)
    await asyncio.to_thread(upgrade, database)
    return made, epoch.epoch


def main() -> int:
    """Prepare what the environment names; exit code 1 with a message when that fails."""
    try:
        made, epoch = asyncio.run(prepare(KafkaConnection(), DatabaseConnection(), PipelineNames()))
    except (EpochError, KafkaError, OSError) as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 1
    sys.stdout.write(f"prepared: {made} topics created, epoch {epoch}, tables up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
