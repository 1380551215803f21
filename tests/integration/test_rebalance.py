"""Executors and services that join and leave: what runs goes on, and only one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.kafka.clock import BrokerClock
from adapters.kafka.group import KafkaGroupMember
from adapters.postgres.migrate import upgrade
from core.ledger.verdicts import Claimed
from core.services import JOB_SERVICES
from penstock.connection import DatabaseConnection
from schemas.codec import decode_if_verdict
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

APP = """
import os, time
from penstock import task

@task("long")
def long(ctx, payload):
    with open(payload["effects"], "a") as effects:
        print("start", os.getpid(), file=effects, flush=True)
        until_s = time.monotonic() + payload["s"]
        while time.monotonic() < until_s or not os.path.exists(payload["released"]):
            time.sleep(0.1)
        print("end", os.getpid(), file=effects, flush=True)

@task("short")
def short(ctx, payload):
    return payload
"""
LONG_S = 20.0
REBALANCES = 10


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline of its own with all services running."""
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_of_test.py").write_text(APP)
    settings = {"PENSTOCK_APP": "tasks_of_test", "PENSTOCK_APP_PATH": str(app), "PENSTOCK_WORKERS": "1"}
    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared,
        prepared.running(*JOB_SERVICES, **settings),
    ):
        yield prepared


class Passer:
    """A member that joins every group of the pipeline and leaves it again, so that all are shared anew."""

    def __init__(self, mine: Pipeline) -> None:
        self._mine = mine
        self._passes = 0
        routes = mine.routes
        self._groups = {
            "executor.default": routes.executions("default"),
            "ingest": (routes.jobs,),
            "prioritizer": (routes.ready,),
            "scheduler": (routes.gates, *routes.delays),
            "dlq_handler": (routes.ledger, routes.dlq),
            "materializer": (routes.ledger,),
        }

    async def join_and_leave(self) -> None:
        """Two rebalances of each group; each is complete when this returns."""
        self._passes += 1
        async with asyncio.TaskGroup() as tasks:
            for group, topics in self._groups.items():
                tasks.create_task(self._pass(group, topics))

    async def _pass(self, group: str, topics: tuple[str, ...]) -> None:
        member = KafkaGroupMember(
            self._mine.kafka,
            BrokerClock(),
            group=self._mine.routes.group(group),
            instance=f"passer-{self._passes % 2}",
            topics=topics,
        )
        await member.start()
        try:
            async with asyncio.timeout(60):
                while not member.assignment.number:
                    await member.poll(0.1, max_records=1)
        finally:
            await member.close()


async def test_a_long_job_survives_every_rebalance_without_a_second_run(
    mine: Pipeline, tmp_path: Path
) -> None:
    effects, released = tmp_path / "effects", tmp_path / "released"
    passer = Passer(mine)
    async with mine.client() as client:
        payload = {"effects": str(effects), "released": str(released), "s": LONG_S}
        long = await client.submit("long", payload)
        await asyncio.to_thread(wait_until, effects.exists, "the start of the long job", 60)
        short = []
        for _ in range(REBALANCES // 2):
            await passer.join_and_leave()
            short.append(await client.submit("short", {}))
        # However slow the machine: all of it happened while the job ran.
        released.touch()
        rows = await client.wait_all([long, *short], timeout_s=120)

    assert [(row.state, row.attempt) for row in rows] == [("succeeded", 1)] * len(rows)
    lines = effects.read_text().split("\n")
    assert [line.split(" ")[0] for line in lines if line] == ["start", "end"]
    claims = [
        verdict
        for record in await mine.read_async(mine.routes.ledger)
        if isinstance(verdict := decode_if_verdict(record), Claimed)
    ]
    assert len([claim for claim in claims if claim.job_id == long.job_id]) == 1
