"""Kinds of failures on real servers: learned once, named alike by all, shown in the tables, through kills."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from adapters.postgres.migrate import upgrade
from core.services import JOB_SERVICES
from penstock.client import JobRow
from penstock.connection import DatabaseConnection
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

APP = """
import os
from penstock import PermanentError, RetryRule, task

@task("fail")
def fail(ctx, payload):
    raise PermanentError(payload)

@task("die", retry=RetryRule(base="0.1s", cap="0.1s"))
def die(ctx, payload):
    os._exit(3)
"""
FIRST = "tenant acme has no order 1701 in 'basket of ann'"
SECOND = "tenant globex has no order 1864 in 'basket of bob'"
THIRD = "tenant initech has no order 99 in 'basket of cem'"
TEMPLATE = "tenant <*> has no order <num> in <str>"


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline of its own in which nobody decides about failures yet, and nobody fills tables."""
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_of_signatures.py").write_text(APP)
    settings = {
        "PENSTOCK_APP": "tasks_of_signatures",
        "PENSTOCK_APP_PATH": str(app),
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_LEASE_S": "6",
        "PENSTOCK_HEARTBEAT_S": "0.5",
    }
    before = [name for name in JOB_SERVICES if name not in {"dlq_handler", "materializer"}]
    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared,
        prepared.running(*before, **settings),
    ):
        yield prepared


def rows(mine: Pipeline, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(mine.database_url) as connection:
        return connection.execute(query).fetchall()


def submit(mine: Pipeline, *texts: str) -> None:
    async def run() -> None:
        async with mine.client() as client:
            for text in texts:
                await client.submit("fail", text)

    asyncio.run(run())


def dies(mine: Pipeline, service: str, point: str) -> None:
    with mine.start(service, PENSTOCK_FAILPOINTS=f"{service}.signatures_{point}:kill") as program:
        wait_until(lambda: program.process.poll() is not None, f"the death of {service} at {point}", 90)
        assert program.process.returncode == -signal.SIGKILL, program.output


def ended(mine: Pipeline) -> list[tuple[Any, ...]]:
    return rows(mine, "select signature from v1_jobs where state = 'dead' and type = 'fail'")


def test_failures_are_named_alike_wherever_who_names_them_dies(mine: Pipeline) -> None:
    submit(mine, FIRST)
    mine.wait_for(mine.routes.dlq, 1)
    dies(mine, "dlq_handler", "due")
    assert mine.read(mine.routes.signatures) == []
    dies(mine, "dlq_handler", "told")
    assert len(mine.read(mine.routes.signatures)) == 1
    submit(mine, SECOND)
    mine.wait_for(mine.routes.dlq, 2)
    with mine.start("dlq_handler", "one"), mine.start("dlq_handler", "two"):
        mine.wait_for(mine.routes.dead, 2)
        for point in ("open", "moved", "merged", "committed"):
            dies(mine, "materializer", point)
        with mine.running("materializer"):
            wait_until(lambda: len(ended(mine)) == 2, "both in the table", 60)
    (name,) = set(ended(mine))
    with mine.running("materializer", "dlq_handler"):
        submit(mine, THIRD)
        wait_until(lambda: len(ended(mine)) == 3, "the third in the table", 60)
    assert set(ended(mine)) == {name}
    learned = mine.read(mine.routes.signatures)
    assert len(learned) == 2
    for secret in (b"1701", b"1864", b"basket", b"ann"):
        assert not any(secret in (record.value or b"") for record in learned)
    shown = "signature, error_class, error_type, template, location, task_type, log_offset, learned_offset"
    assert rows(mine, f"select {shown} from v1_signatures") == [
        (*name, "permanent", "PermanentError", TEMPLATE, "tasks_of_signatures.py:fail", "fail", 0, 1)
    ]
    assert set(rows(mine, "select signature from v1_attempts where outcome = 'failed'")) == {name}


def test_a_job_that_kills_its_worker_twice_is_isolated_as_poison(mine: Pipeline) -> None:
    async def run() -> JobRow:
        async with mine.client() as client:
            ref = await client.submit("die", {}, max_attempts=20)
            return await client.wait(ref, timeout_s=90)

    with mine.running("materializer", "dlq_handler"):
        row = asyncio.run(run())
        found = rows(mine, "select outcome, error_class, signature from v1_attempts order by n")
    assert (row.state, row.error_class) == ("dead", "poison")
    assert [one[:2] for one in found] == [("failed", "lost")] * 2
    assert found[0][2] is not None
    assert found[0][2] == found[1][2]
