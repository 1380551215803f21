"""What is before a job, asked of a real Postgres: the executors' law, and no walk through what ended."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from adapters.postgres.migrate import upgrade
from core.buckets import bucket_head_start_s
from penstock.cli import why_rows
from penstock.cli.queries import connected
from penstock.cli.why_queue import lanes_before
from penstock.connection import DatabaseConnection

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PER_DECADE_S = 10.0
"""Neighbouring buckets are 6 s apart."""
QUEUED, ENDED = 400, 8_000
INDEX = "ix_jobs_pool_bucket_ready_at"

_INSERT = """
INSERT INTO jobs (job_id, state, state_rank, tenant, type, pool, bucket, ready_at, predicted_run_s,
                  origin_partition, origin_offset, dispatch)
VALUES (%(job_id)s, %(state)s, 1, 't', %(type)s, %(pool)s, %(bucket)s, %(ready_at)s, %(predicted)s,
        %(partition)s, %(offset)s, 1)
"""


def jobs_of(draw: random.Random) -> list[dict[str, Any]]:
    """Ended ones became ready in the hour before noon, queued ones in the minute after it."""
    made = []
    for number in range(QUEUED + ENDED):
        queued = number < QUEUED
        # Few different times: many are ready in the same instant.
        after_s = draw.randrange(60) if queued else -draw.randrange(3600)
        made.append(
            {
                "job_id": f"00000000-0000-4000-8000-{draw.randrange(10**12):012d}",
                "state": "queued" if queued else "succeeded",
                "type": draw.choice("abc"),
                "pool": draw.choice(("default", "default", "gpu")),
                "bucket": draw.randrange(8),
                "ready_at": NOON + timedelta(seconds=after_s),
                "predicted": draw.choice((None, 0.5, 2.0)),
                "partition": draw.randrange(2),
                "offset": draw.randrange(100),
            }
        )
    return made


def place_of(job: dict[str, Any]) -> float:
    return float(job["ready_at"].timestamp() - bucket_head_start_s(job["bucket"], PER_DECADE_S))


def is_before(other: dict[str, Any], job: dict[str, Any]) -> bool:
    if other["pool"] != job["pool"] or other["state"] != "queued" or other is job:
        return False
    if other["bucket"] == job["bucket"] and other["ready_at"] == job["ready_at"]:
        names = ("partition", "offset", "job_id")
        return tuple(other[name] for name in names) < tuple(job[name] for name in names)
    return place_of(other) < place_of(job)


@pytest.fixture
def made(database_url: str) -> list[dict[str, Any]]:
    made = jobs_of(random.Random(7))
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with psycopg.connect(database_url, autocommit=True) as connection:
        with connection.cursor() as cursor, connection.transaction():
            cursor.executemany(_INSERT, made)
        connection.execute("ANALYZE jobs")
    return made


async def counted(database_url: str, job: dict[str, Any], heads: dict[int, datetime] | None) -> Any:
    row = job | {"origin_partition": job["partition"], "origin_offset": job["offset"]}
    lanes = lanes_before(row, heads, PER_DECADE_S)
    async with connected(DatabaseConnection(url=SecretStr(database_url))) as database:
        await why_rows.bound(database)
        found = await why_rows.answer(database, why_rows.ahead_question(row, lanes))
    kinds: dict[Any, tuple[int, float]] = {}
    for one in found:
        if one["before"]:
            jobs, predicted_s = kinds.get((one["bucket"], one["type"]), (0, 0.0))
            summed = jobs + one["jobs"], round(predicted_s + one["predicted_s"], 3)
            kinds[one["bucket"], one["type"]] = summed
    return kinds, sum(one["jobs"] for one in found if one["tied"])


def test_what_is_before_a_job_is_what_the_executors_law_says(
    database_url: str, made: list[dict[str, Any]]
) -> None:
    queued = made[:QUEUED]
    heads: dict[int, datetime] = {}
    for job in queued:
        if job["pool"] == "default":
            heads[job["bucket"]] = min(job["ready_at"], heads.get(job["bucket"], job["ready_at"]))
    for job in [one for one in queued if one["pool"] == "default"][:12]:
        expected: dict[Any, tuple[int, float]] = {}
        for other in queued:
            if is_before(other, job):
                kind = other["bucket"], other["type"]
                jobs, predicted_s = expected.get(kind, (0, 0.0))
                predicted = other["predicted"] or why_rows.UNKNOWN_RUN_S
                expected[kind] = (jobs + 1, round(predicted_s + predicted, 3))
        names = ("pool", "bucket", "ready_at")
        tied = sum(all(other[name] == job[name] for name in names) for other in queued) - 1
        assert asyncio.run(counted(database_url, job, heads)) == (expected, tied)
        assert asyncio.run(counted(database_url, job, None)) == (expected, tied)


def test_neither_ended_jobs_nor_all_queued_ones_are_walked_through(
    database_url: str, made: list[dict[str, Any]]
) -> None:
    heads = dict.fromkeys(range(8), NOON)
    job = next(one for one in made if one["pool"] == "default" and one["state"] == "queued")
    lanes = lanes_before(job, heads, PER_DECADE_S)
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        plans = [
            connection.execute(b"EXPLAIN " + statement, parameters).fetchall()
            for statement, parameters in (
                why_rows.ahead_question(job | {"origin_partition": 0, "origin_offset": 1}, lanes),
                why_rows.taken_question("default", heads),
                why_rows.arrivals_question("default", range(8), NOON),
            )
        ]
    for plan in plans:
        text = "\n".join(row["QUERY PLAN"] for row in plan)
        assert INDEX in text
        assert "Seq Scan on jobs" not in text
