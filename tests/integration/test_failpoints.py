"""Every failpoint that is listed is passed by services that run: none stands where nothing comes by."""

import asyncio
import json
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from adapters.postgres.migrate import upgrade
from core.breaker import RATE_MAX_PER_S, State
from core.limits import ROOM_MIN
from core.services import SERVICES
from core.subjects import Scope
from penstock.cli.main import build
from penstock.client import Client
from penstock.connection import DatabaseConnection
from ports.failpoint_list import PLACES
from schemas.control import CircuitRecord, LimitRecord
from schemas.desk import ActBegun, ActKind, desk_record
from schemas.standing_orders import circuit_record, limit_record
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program
from tests.support.servers import Servers
from tests.support.small_models import published, small_heads

APP = """
import time
from penstock import PermanentError, RetryRule, task

@task("steady")
def steady(ctx, payload):
    ctx.log.info("steady")
    return payload

@task("adds")
def adds(ctx, payload):
    ctx.spawn("steady")

@task("fails.once", retry=RetryRule(base="0.3s", cap="0.3s"))
def fails_once(ctx, payload):
    if ctx.attempt == 1:
        raise ConnectionError("once")

@task("fails.always")
def fails_always(ctx, payload):
    raise PermanentError("no use")

@task("long")
def long(ctx, payload):
    ctx.progress(0.5, "half way")
    while True:
        ctx.raise_if_cancelled()
        time.sleep(0.05)
"""
ELSEWHERE = {
    "trainer": "has nothing to learn from so few jobs: tests/unit/services/trainer/test_trainer_round.py"
}
LEASE_S = 3.0
WAIT_S = 60.0
SUBMIT_EVERY_S = 0.3
"""Less than ``PENSTOCK_SNAPSHOT_NOT_BEFORE_S``, so that every snapshot finds something new."""


class Watched:
    """A pipeline whose services say which failpoints they pass."""

    def __init__(self, mine: Pipeline, programs: dict[str, Program]) -> None:
        self.mine = mine
        self.programs = programs

    def passed(self) -> set[str]:
        """The failpoints that were passed so far."""
        lines = (line for program in self.programs.values() for line in program.output.splitlines())
        said = (json.loads(line) for line in lines if '"failpoint"' in line)
        return {line["failpoint"] for line in said}

    def wait_for(self, *points: str) -> None:
        """Return once all of these were passed, while jobs run: a ledger that rests asks for no snapshot."""
        asyncio.run(self._wait_for(set(points)))

    async def _wait_for(self, points: set[str]) -> None:
        until_s = time.monotonic() + WAIT_S
        async with self.mine.client() as client:
            while missing := points - self.passed():
                assert time.monotonic() < until_s, f"not passed within {WAIT_S:.0f} s: {sorted(missing)}"
                await client.submit("steady", None)
                await asyncio.sleep(SUBMIT_EVERY_S)


@pytest.fixture
def watched(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Watched]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    (tmp_path / "jobs_that_pass.py").write_text(APP)
    settings = {
        "PENSTOCK_APP": "jobs_that_pass",
        "PENSTOCK_APP_PATH": str(tmp_path),
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_LEASE_S": str(LEASE_S),
        "PENSTOCK_HEARTBEAT_S": "0.3",
        "PENSTOCK_DRAIN_GRACE_S": "0.5",
        "PENSTOCK_SNAPSHOT_EVERY": "1",
        "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "0.5",
        "PENSTOCK_JANITOR_S": "1",
        "PENSTOCK_JANITOR_STEP_RECORDS": "1",
        "PENSTOCK_GATES_TOLD_EVERY_S": "0.5",
        "PENSTOCK_WORKFLOW_KEEP_S": "0.5",
        "PENSTOCK_GATES_SNAPSHOT_EVERY": "1",
        "PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S": "0.5",
        # The first claim is too old to start when it is appended, so it is handed back. Appended, it may be
        # read back before its append returns.
        "PENSTOCK_FAILPOINTS": f"*:say;executor.claim_decided:block:s={LEASE_S / 3 + 0.3}",
    }
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine, ExitStack() as stack:
        programs = {spec.name: stack.enter_context(mine.start(spec.name, **settings)) for spec in SERVICES}
        yield Watched(mine, programs)


def _run_schedule(watched: Watched) -> None:
    """A schedule that fires and is shown in its table, and is then deleted."""

    def schedule(*arguments: str) -> None:
        environment = watched.mine.environment("cli")
        result = CliRunner().invoke(build("schedule"), ["schedule", *arguments], env=environment)
        assert result.exit_code == 0, (result.output, result.stderr)

    schedule("create", "beat", "steady", "--every", "1s")
    watched.wait_for("scheduler.ticks_settled", "materializer.schedules_committed")
    schedule("delete", "beat")


async def _run_jobs(watched: Watched) -> None:
    """Jobs that end in every way there is."""
    async with watched.mine.client() as client:
        steady = [await client.submit("steady", number, idempotency_key=f"k{number}") for number in range(3)]
        steady.append(await client.submit("steady", 8, ordering_key="o"))
        steady.append(await client.submit("steady", 8, ordering_key="o", idempotency_key="in order"))
        steady.append(await client.submit("adds", None, workflow_id="w"))
        later = await client.submit("steady", 9, run_at=datetime.now(UTC) + timedelta(seconds=1))
        again, never = await client.submit("fails.once", None), await client.submit("fails.always", None)
        for job in (*steady, later, again, never):
            await client.wait(job, timeout_s=60)
        cancelled = await client.submit("long", None)
        await _until_running(client, cancelled.job_id)
        await client.cancel(cancelled)
        await client.wait(cancelled, timeout_s=60)
        # By its id alone, before it is there: somebody has to find out which job that is.
        unborn = str(uuid.uuid4())
        await client.cancel(unborn)
        await client.submit("steady", 1, job_id=unborn)
        stays = await client.submit("long", None)
        await _until_running(client, stays.job_id)


async def _hold_jobs(watched: Watched) -> None:
    """More than a limit has room for; it is held, and goes on when the limit is taken away."""
    routes = watched.mine.routes
    async with watched.mine.appender() as appender, watched.mine.client() as client:
        await appender.append([limit_record(routes, LimitRecord(Scope.TYPE, "steady", 1 / 60))])
        jobs = [await client.submit("steady", number) for number in range(2 * ROOM_MIN)]
        async with asyncio.timeout(60):
            while {"executor.parked", "executor.demand_appended"} - watched.passed():  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await appender.append([limit_record(routes, LimitRecord(Scope.TYPE, "steady", None))])
        for job in jobs:
            await client.wait(job, timeout_s=60)


async def _close_circuit(watched: Watched) -> None:
    """A circuit that has recovered as far as there is; the next success closes it."""
    recovered = CircuitRecord("steady", State.RECOVERING, 1, 1, rate_per_s=RATE_MAX_PER_S)
    async with watched.mine.appender() as appender, watched.mine.client() as client:
        await appender.append([circuit_record(watched.mine.routes, recovered)])
        await client.wait(await client.submit("steady", 1), timeout_s=60)


async def _publish_model(watched: Watched) -> None:
    """A model that is shown in its table, and nobody's champion."""
    async with watched.mine.shelf() as shelf:
        await shelf.publish(*published(small_heads()))


async def _until_running(client: Client, job_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            row = await client.get(job_id)
            if row is not None and row.state == "running":
                return
            await asyncio.sleep(0.05)


def test_services_that_run_pass_every_failpoint(watched: Watched) -> None:
    _run_schedule(watched)
    asyncio.run(_run_jobs(watched))
    asyncio.run(_close_circuit(watched))
    watched.wait_for("dlq_handler.circuits_told")
    asyncio.run(_hold_jobs(watched))
    asyncio.run(_publish_model(watched))
    watched.mine.append([desk_record(watched.mine.routes, ActBegun("a1", ActKind.RESUME, "cli:ann"))])
    executor = watched.programs["executor"]
    executor.process.send_signal(signal.SIGSTOP)
    try:
        watched.wait_for("dlq_handler.lost_appended")
    finally:
        executor.process.send_signal(signal.SIGCONT)
    watched.wait_for(
        "executor.workers_killed",
        "dlq_handler.tombstones_appended",
        "scheduler.tombstones_appended",
        "dlq_handler.trimmed",
        "executor.handed_back",
        "materializer.cancel_named",
        "materializer.models_committed",
        "materializer.desk_committed",
    )
    codes = {name: program.stop(signal.SIGTERM) for name, program in watched.programs.items()}
    assert codes == dict.fromkeys(watched.programs, 0)
    wanted = {place.name for place in PLACES if place.service not in ELSEWHERE}
    assert wanted - watched.passed() == set()
