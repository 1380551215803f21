"""All services together: what a job meets from its record to its row."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from adapters.postgres.migrate import upgrade
from core.services import JOB_SERVICES
from penstock.connection import DatabaseConnection
from penstock.identity import Origin, job_id_from_origin
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

APP = """
import time
from penstock import PermanentError, RetryRule, task

@task("add")
def add(ctx, payload):
    ctx.log.info("adding", count=len(payload))
    return sum(payload)

@task("fail.once", retry=RetryRule(base="0.3s", cap="0.3s"))
async def fail_once(ctx, payload):
    if ctx.attempt == 1:
        raise ConnectionError("card 4111-1111 refused: " + payload["card"])
    return {"attempt": ctx.attempt, "card": payload["card"]}

@task("fail.always")
def fail_always(ctx, payload):
    raise PermanentError("no use")

@task("sleep")
def sleep(ctx, payload):
    ctx.progress(0.5, "half way")
    for _ in range(int(payload["s"] * 20)):
        ctx.raise_if_cancelled()
        time.sleep(0.05)
    return "slept"
"""


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline of its own with all services running."""
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_of_test.py").write_text(APP)
    settings = {
        "PENSTOCK_APP": "tasks_of_test",
        "PENSTOCK_APP_PATH": str(app),
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_LEASE_S": "6",
        "PENSTOCK_HEARTBEAT_S": "0.5",
    }
    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared,
        prepared.running(*JOB_SERVICES, **settings),
    ):
        yield prepared


def rows(mine: Pipeline, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(mine.database_url) as connection:
        return connection.execute(query).fetchall()


def test_a_record_of_a_foreign_client_runs_and_shows_in_the_table(mine: Pipeline) -> None:
    producer = Producer({"bootstrap.servers": mine.servers.kafka_bootstrap})
    placed: list[Any] = []
    producer.produce(
        mine.routes.jobs,
        json.dumps({"type": "add", "payload": [1, 2, 3], "labels": {"from": "elsewhere"}}).encode(),
        on_delivery=lambda _, m: placed.append((m.partition(), m.offset(), m.timestamp()[1])),
    )
    assert producer.flush(30) == 0
    partition, offset, timestamp_ms = placed[0]
    job_id = job_id_from_origin(Origin(mine.epoch.epoch, partition, offset), timestamp_ms)
    query = f"select state, result, attempt, labels, payload from jobs where job_id = '{job_id}'"
    wait_until(lambda: [row for row in rows(mine, query) if row[0] == "succeeded"], "the row", 60)
    assert rows(mine, query) == [("succeeded", 6, 1, {"from": "elsewhere"}, [1, 2, 3])]
    wait_until(lambda: rows(mine, f"select message from job_logs where job_id = '{job_id}'"), "its log", 30)


def test_failures_are_retried_or_given_up_and_secrets_stay_secret(mine: Pipeline) -> None:
    async def submit() -> tuple[Any, Any]:
        async with mine.client() as client:
            again = await client.submit("fail.once", {"card": "4111-1111"}, sensitive=["/card"])
            never = await client.submit("fail.always", {})
            return await client.wait(again, timeout_s=60), await client.wait(never, timeout_s=60)

    again, never = asyncio.run(submit())
    assert (again.state, again.attempt) == ("succeeded", 2)
    assert again.result == {"attempt": 2, "card": "***"}
    assert (never.state, never.attempt, never.error_class) == ("dead", 1, "permanent")
    attempts = rows(mine, "select n, outcome, error_class from job_attempts order by job_id, n")
    assert sorted(attempts) == [
        (1, "failed", "permanent"),
        (1, "failed", "transient"),
        (2, "succeeded", None),
    ]
    written = b"".join(record.value or b"" for record in mine.read(mine.routes.ledger))
    assert b"4111" not in written
    with psycopg.connect(mine.database_url) as connection:
        for table in ("jobs", "job_attempts", "job_logs", "job_scores"):
            query = f"select coalesce(string_agg({table}::text, ''), '') from {table}"
            text = connection.execute(query).fetchone()
            assert text is not None
            assert "4111" not in text[0], table


def test_a_running_job_is_cancelled_and_a_waiting_one_never_starts(mine: Pipeline) -> None:
    async def scenario() -> list[Any]:
        async with mine.client() as client:
            running = await client.submit("sleep", {"s": 60})
            waiting = await client.submit("add", [1], run_at=datetime.now(UTC) + timedelta(hours=1))
            deadline = time.monotonic() + 60
            while (row := await client.get(running.job_id)) is None or row.state != "running":
                assert time.monotonic() < deadline, row
                await asyncio.sleep(0.1)
            for ref in (running, waiting):
                await client.cancel(ref.job_id, reason="test")
            return [await client.wait(ref, timeout_s=60) for ref in (running, waiting)]

    running, waiting = asyncio.run(scenario())
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    assert waiting.started_at is None


def test_a_stopping_executor_hands_back_what_it_could_not_finish(mine: Pipeline) -> None:
    """The job goes on elsewhere without burning an attempt."""
    settings = {
        "PENSTOCK_APP": "tasks_of_test",
        "PENSTOCK_APP_PATH": str(mine.directory / "app"),
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_LEASE_S": "6",
        "PENSTOCK_HEARTBEAT_S": "0.5",
        "PENSTOCK_DRAIN_GRACE_S": "0.5",
    }

    async def run_both(second: Program) -> Any:
        async with mine.client() as client:
            refs: list[Any] = []
            deadline = time.monotonic() + 60
            query = "select distinct executor_id from jobs where state = 'running'"
            while not any("second" in row[0] for row in rows(mine, query)):
                assert time.monotonic() < deadline, rows(mine, "select state, executor_id from jobs")
                refs += await client.submit_many([{"type": "sleep", "payload": {"s": 4}}] * 2)
                await asyncio.sleep(0.5)
            await asyncio.to_thread(second.stop)
            return [await client.wait(ref, timeout_s=120) for ref in refs]

    # Two partitions, two members: each owns one, so both run something.
    with mine.start("executor", "second", **settings) as second:
        wait_until(lambda: "runs on epoch" in second.output, "the second executor", 60)
        done = asyncio.run(run_both(second))
    assert {row.state for row in done} == {"succeeded"}
    assert {row.attempt for row in done} == {1}
    released = rows(mine, "select count(*) from job_attempts where outcome = 'released'")
    assert released[0][0] >= 1
