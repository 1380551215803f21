"""What a job costs by partitions and instances, by payload and by failures: what capacity is planned from.

CPU by process as in the backlog; beside it records and bytes in every topic, rows' bytes in every table, and
what Postgres writes ahead. Bytes are differences over the round, so nothing that was there before counts.
"""

import math
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg

from adapters.kafka.retention import KafkaRetention
from adapters.kafka.topology import route_map
from benchmarks.options import Shape
from benchmarks.pipeline import BenchmarkError, Pipeline, running
from benchmarks.results import CostPoint, Throughput
from benchmarks.tasks import FLAKY, NOOP
from benchmarks.throughput import measure_backlog, warm_up
from core.log import TopicPartition
from penstock.client.submission import Job
from schemas.topics import RouteMap

SETTINGS = {"PENSTOCK_JANITOR_S": "86400"}
"""Nothing is trimmed while it is measured."""
TABLES = ("jobs", "job_attempts", "job_logs", "job_scores")


class Load(NamedTuple):
    """What kind of jobs."""

    type: str
    payload_bytes: int
    attempts_per_job: int


PLAIN = (Load(NOOP, 0, 1),)
ON_THE_FIRST = (*PLAIN, Load(NOOP, 1000, 1), Load(FLAKY, 0, 2))
"""Beside the plain load also what a byte of payload costs, and what a failure does."""


class Volume(NamedTuple):
    """What stands in log and tables."""

    records: Counter[str]
    log_bytes: Counter[str]
    table_bytes: Counter[str]
    wal_bytes: int


async def measure_costs(
    data: Path, jobs: int, rounds: int, shapes: Sequence[Shape], say: Callable[[str], None]
) -> tuple[CostPoint, ...]:
    """Measure every shape on a pipeline of its own; payloads and failures on the first.

    A shape whose pipeline cannot be brought up is left out, and that is said: many partitions are much to ask
    of a small machine.

    Raises
    ------
    benchmarks.pipeline.BenchmarkError
        The first shape could not be measured.
    """
    found: list[CostPoint] = []
    for shape in shapes:
        say(f"{shape.partitions} partitions, {shape.instances} of every service")
        try:
            found += await _points(data, ON_THE_FIRST if not found else PLAIN, jobs, rounds, shape)
        except BenchmarkError as error:
            if not found:
                raise
            say(f"left out: {error}")
    return tuple(found)


async def _points(data: Path, loads: Sequence[Load], jobs: int, rounds: int, shape: Shape) -> list[CostPoint]:
    settings = SETTINGS | {"PENSTOCK_PARTITIONS": str(shape.partitions)}
    place = data / f"costs-{shape.partitions}-{shape.instances}"
    numbers = shape.instances
    async with running(place, settings=settings, executors=numbers, instances=numbers) as pipeline:
        await warm_up(pipeline)
        return [await _point(pipeline, load, jobs, rounds, shape) for load in loads]


async def _point(pipeline: Pipeline, load: Load, jobs: int, rounds: int, shape: Shape) -> CostPoint:
    routes = route_map(pipeline.names.model_copy(update={"partitions": shape.partitions}))
    before = await _volume(pipeline, routes)
    measured = [await measure_backlog(pipeline, _jobs(load, jobs), load.type) for _ in range(rounds)]
    after = await _volume(pipeline, routes)
    total = rounds * jobs
    return CostPoint(
        partitions=shape.partitions,
        instances=shape.instances,
        payload_bytes=load.payload_bytes,
        attempts_per_job=load.attempts_per_job,
        rounds=tuple(map(by_service, measured)),
        records_per_job=_per_job(before.records, after.records, total),
        log_bytes_per_job=_per_job(before.log_bytes, after.log_bytes, total),
        table_bytes_per_job=_per_job(before.table_bytes, after.table_bytes, total),
        wal_bytes_per_job=round((after.wal_bytes - before.wal_bytes) / total, 1),
    )


def by_service(measured: Throughput) -> Throughput:
    """Add up the instances of each service."""
    spent: dict[str, float] = {}
    for process, us in measured.cpu_us_per_job.items():
        name, _, number = process.rpartition("-")
        service = name if number.isdigit() else process
        spent[service] = round(spent.get(service, 0.0) + us, 1)
    return msgspec.structs.replace(measured, cpu_us_per_job=spent)


def _jobs(load: Load, jobs: int) -> list[Job]:
    """Make jobs whose payloads do not repeat, so that nothing on the way can press them together."""
    half = math.ceil(load.payload_bytes / 2)
    return [
        {"type": load.type, "payload": secrets.token_hex(half)[: load.payload_bytes]} for _ in range(jobs)
    ]


def _per_job(before: Counter[str], after: Counter[str], jobs: int) -> dict[str, float]:
    grown = {name: (after[name] - before[name]) / jobs for name in sorted(after)}
    return {name: round(amount, 2) for name, amount in grown.items() if round(amount, 2) > 0}


async def _volume(pipeline: Pipeline, routes: RouteMap) -> Volume:
    places = [TopicPartition(spec.name, n) for spec in routes.specs() for n in range(spec.partitions)]
    log = KafkaRetention(pipeline.kafka, client_id="benchmark")
    await log.start()
    try:
        records: Counter[str] = Counter()
        for place, bounds in (await log.bounds(places)).items():
            records[_family(place.topic)] += bounds.end
        sizes: Counter[str] = Counter()
        for place, size in (await log.sizes(places)).items():
            sizes[_family(place.topic)] += size
    finally:
        await log.close()
    tables, wal_bytes = await _database(pipeline)
    return Volume(records, sizes, tables, wal_bytes)


def _family(topic: str) -> str:
    """Put buckets and tiers together."""
    return topic.partition(".default.b")[0].rstrip("0123456789.")


async def _database(pipeline: Pipeline) -> tuple[Counter[str], int]:
    async with await psycopg.AsyncConnection.connect(
        pipeline.database.conninfo, autocommit=True
    ) as connection:
        tables: Counter[str] = Counter()
        for name in TABLES:
            found = await connection.execute("SELECT pg_total_relation_size(%s::regclass)", (name,))
            row = await found.fetchone()
            assert row is not None
            tables[name] = int(row[0])
        found = await connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        row = await found.fetchone()
        assert row is not None
        return tables, int(row[0])
