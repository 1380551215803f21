"""Whether the disk stays bounded: the same load again and again, and what every topic takes after each.

``python -m benchmarks.retention [--waves N] [--jobs N] [--payload-bytes N] [--data DIR]`` prints one JSON
object a wave. Segments are of 1 MiB and the ledger is kept for no time, so that minutes show what days show
with the defaults.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka.appender import appending
from adapters.kafka.retention import KafkaRetention
from adapters.kafka.topology import route_map
from benchmarks.machine import data_directory
from benchmarks.pipeline import Pipeline, running
from benchmarks.tasks import NOOP
from core.log import NewRecord, TopicPartition
from schemas.topics import RouteMap

SETTINGS = {
    "PENSTOCK_JANITOR_S": "5",
    "PENSTOCK_LEDGER_KEEP_S": "0",
    "PENSTOCK_SNAPSHOT_EVERY": "5000",
    "PENSTOCK_SNAPSHOT_EVERY_S": "10",
    "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "5",
    "PENSTOCK_GATES_TOLD_EVERY_S": "5",
    "PENSTOCK_GATES_SNAPSHOT_EVERY": "5000",
    "PENSTOCK_GATES_SNAPSHOT_EVERY_S": "10",
    "PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S": "5",
}
SEGMENT_BYTES = 1_048_576
"""The least Kafka takes."""
SETTLE_S = 150.0
"""The broker looks for what it can delete every 60 s and keeps files 5 s longer; twice that and some."""
BATCH = 500
KEYED_EVERY = 4
"""Every fourth job has a key, so it passes a gate."""


async def shorten_segments(pipeline: Pipeline, routes: RouteMap) -> None:
    """Let every trimmed topic have small segments, so that little of what is trimmed stays."""
    admin: Any = AIOKafkaAdminClient(**pipeline.kafka.client_options())
    await admin.start()
    configs = {spec.name: dict(spec.config) for spec in routes.specs() if spec.name in routes.readers()}
    wanted = {"segment.bytes": str(SEGMENT_BYTES), "file.delete.delay.ms": "5000"}
    await admin.alter_configs(
        [
            ConfigResource(ConfigResourceType.TOPIC, name, configs=config | wanted)
            for name, config in configs.items()
        ]
    )
    await admin.close()


async def submit(pipeline: Pipeline, routes: RouteMap, first: int, jobs: int, payload_bytes: int) -> None:
    """Append jobs as any producer does."""
    text = "x" * payload_bytes
    async with appending(pipeline.kafka, client_id="benchmark") as appender:
        for start in range(first, first + jobs, BATCH):
            numbers = range(start, min(start + BATCH, first + jobs))
            await appender.append([_record(routes, number, text) for number in numbers])


def _record(routes: RouteMap, number: int, text: str) -> NewRecord:
    key = {"idempotency_key": f"k{number}"} if number % KEYED_EVERY == 0 else {}
    value = json.dumps({"type": NOOP, "payload": text} | key).encode()
    return NewRecord(routes.jobs, number % routes.partitions, None, value)


async def until_ended(pipeline: Pipeline, jobs: int) -> None:
    """Wait until so many jobs have succeeded."""
    async with await psycopg.AsyncConnection.connect(
        pipeline.database.conninfo, autocommit=True
    ) as connection:
        while True:
            found = await connection.execute("SELECT count(*) FROM jobs WHERE state = 'succeeded'")
            row = await found.fetchone()
            if row is not None and row[0] >= jobs:
                return
            await asyncio.sleep(0.5)


async def sizes(retention: KafkaRetention, routes: RouteMap) -> Counter[str]:
    """Give the bytes of every topic, buckets and tiers together."""
    places = [TopicPartition(spec.name, n) for spec in routes.specs() for n in range(spec.partitions)]
    found: Counter[str] = Counter()
    for place, size in (await retention.sizes(places)).items():
        family = place.topic.partition(".default.b")[0].rstrip("0123456789.")
        found[family] += size
    return found


async def soak(options: argparse.Namespace, data: Path) -> None:
    """Run the waves."""
    async with running(data, settings=SETTINGS) as pipeline:
        routes = route_map(pipeline.names)
        await shorten_segments(pipeline, routes)
        retention = KafkaRetention(pipeline.kafka, client_id="benchmark")
        await retention.start()
        for wave in range(1, options.waves + 1):
            begun_s = time.monotonic()
            await submit(pipeline, routes, (wave - 1) * options.jobs, options.jobs, options.payload_bytes)
            await until_ended(pipeline, wave * options.jobs)
            took_s = time.monotonic() - begun_s
            before = await sizes(retention, routes)
            await asyncio.sleep(SETTLE_S)
            after = await sizes(retention, routes)
            line = {
                "wave": wave,
                "jobs": wave * options.jobs,
                "jobs_per_s": round(options.jobs / took_s),
                "mb_at_end_of_load": round(before.total() / 1e6, 1),
                "mb_settled": round(after.total() / 1e6, 1),
                "mb_by_topic": {topic: round(size / 1e6, 1) for topic, size in sorted(after.items())},
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        await retention.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waves", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--payload-bytes", type=int, default=500)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    with data_directory("retention", options.data) as data:
        asyncio.run(soak(options, data))


if __name__ == "__main__":
    main()
