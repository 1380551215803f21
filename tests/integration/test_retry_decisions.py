"""Decisions about failures on real servers: chosen, logged, shown with their outcome, and judged."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from typer.testing import CliRunner

from adapters.postgres.migrate import upgrade
from core.retrying.explore import ARMS, CONTROL
from core.services import JOB_SERVICES
from penstock.cli.main import build
from penstock.connection import DatabaseConnection
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

APP = """
from penstock import PermanentError, RetryRule, task

@task("flaky", retry=RetryRule(base="0.1s", cap="0.1s"))
def flaky(ctx, payload):
    if ctx.attempt <= payload:
        raise ValueError(f"no answer from host {payload}")
    return ctx.attempt

@task("never")
def never(ctx, payload):
    raise PermanentError("no use")
"""
JOBS = 60
SETTINGS = {
    "PENSTOCK_APP": "tasks_of_decisions",
    "PENSTOCK_WORKERS": "1",
    "PENSTOCK_LEASE_S": "6",
    "PENSTOCK_HEARTBEAT_S": "0.5",
    "PENSTOCK_RETRY_POLICY": "learned",
    # While a circuit is open the rule alone says when.
    "PENSTOCK_CIRCUITS": "off",
}


def decisions(mine: Pipeline) -> list[dict[str, Any]]:
    with psycopg.connect(mine.database_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM v1_retry_decisions ORDER BY job_id, n").fetchall()


def known(mine: Pipeline) -> int:
    return sum(one["cost_s"] is not None for one in decisions(mine))


def submit(mine: Pipeline) -> None:
    async def run() -> None:
        async with mine.client() as client:
            for number in range(JOBS):
                await client.submit("flaky", 1 + number % 2)
            await client.submit("never", None)

    asyncio.run(run())


def test_decisions_are_logged_with_chances_and_outcomes(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    (tmp_path / "tasks_of_decisions.py").write_text(APP)
    expected = JOBS + JOBS // 2 + 1
    settings = SETTINGS | {"PENSTOCK_APP_PATH": str(tmp_path)}
    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine,
        mine.running(*JOB_SERVICES, **settings),
    ):
        submit(mine)
        # A few jobs may wait for hours: that is what arms are for.
        wait_until(lambda: known(mine) >= expected - 12, "decisions whose jobs have ended", 240)
        found = decisions(mine)
        result = CliRunner().invoke(
            build("retries"), ["retries", "evaluate", "--json"], env=mine.environment("cli")
        )
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert {arm["arm"] for arm in told["arms"]} <= set(ARMS)
    assert all("no verdict" in arm["verdict"] for arm in told["arms"])
    retried = [one for one in found if one["action"] == "retry"]
    assert expected - 6 <= len(found) == len(retried) + 1 <= expected
    assert {one["propensity"] for one in retried} <= {0.95, 0.025}
    assert all((one["propensity"] == 0.95) == (one["arm"] == CONTROL) for one in retried)
    assert all(one["signature"] and one["generation"] for one in retried)
    first = next(one for one in retried if one["n"] == 1)
    assert first["context"] == first["context"] | {"failures": 1, "tries_left": 4, "latest_s": -1}
    worked = [one for one in retried if one["worked"]]
    assert len(worked) >= JOBS - 8
    assert all(one["cost_s"] >= one["delay_s"] for one in worked)
    twice = [one for one in retried if one["worked"] is False and one["cost_s"] is not None]
    assert twice
    assert all(one["cost_s"] >= one["delay_s"] + 300 for one in twice)
    (dead,) = [one for one in found if one["action"] == "dead"]
    assert (dead["arm"], dead["propensity"], dead["delay_s"], dead["cost_s"]) == (CONTROL, 1.0, None, None)
