"""A model of recoveries on real servers: published, asked about failures, watched, and taken back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from typer.testing import CliRunner

from adapters.postgres.migrate import upgrade
from core.retrying.columns import FEATURES, FINGERPRINT
from core.retrying.evidence import Settled, evidence_of
from core.retrying.explore import CONTROL
from core.services import JOB_SERVICES
from penstock.cli.main import build
from penstock.connection import DatabaseConnection
from schemas.models import ModelManifest, Purpose
from tests.support.models_under_test import a_standing
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.recoveries import a_recovery
from tests.support.servers import Servers

Made = tuple[ModelManifest, bytes]
APP = """
from penstock import RetryRule, task

@task("flaky", retry=RetryRule(base="0.1s", cap="0.1s"))
def flaky(ctx, payload):
    if ctx.attempt == 1:
        raise ValueError("no answer")
"""
SETTINGS = {
    "PENSTOCK_APP": "tasks_of_recovery",
    "PENSTOCK_WORKERS": "1",
    "PENSTOCK_LEASE_S": "6",
    "PENSTOCK_HEARTBEAT_S": "0.5",
    "PENSTOCK_RETRY_POLICY": "learned",
    "PENSTOCK_CIRCUITS": "off",
}


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tasks_of_recovery.py").write_text(APP)
    return SETTINGS | {"PENSTOCK_APP_PATH": str(tmp_path)}


def decisions(mine: Pipeline) -> list[dict[str, Any]]:
    with psycopg.connect(mine.database_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM retry_decisions ORDER BY decided_at").fetchall()


def newest_after_another(mine: Pipeline) -> dict[str, Any]:
    """Let one more job fail, and give the decision about it."""

    async def submit() -> str:
        async with mine.client() as client:
            return str((await client.submit("flaky", None)).job_id)

    job_id = asyncio.run(submit())
    found: list[dict[str, Any]] = []

    def is_decided() -> bool:
        found.extend(one for one in decisions(mine) if str(one["job_id"]) == job_id)
        return bool(found)

    wait_until(is_decided, "a decision about the job", 60)
    return found[0]


def until_asked(mine: Pipeline, model: str | None, shadow: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def asked() -> bool:
        found.update(newest_after_another(mine))
        return (found["model"], found["shadow"]) == (model, shadow)

    wait_until(asked, f"decisions by {model} beside {shadow}", 120)
    return found


async def put_in_force(mine: Pipeline, champion: Made, shadow: Made) -> None:
    async with mine.shelf(Purpose.RETRY) as shelf:
        await shelf.publish(*champion)
        await shelf.publish(*shadow)
        await shelf.act(lambda _: a_standing(champion[0].id, shadow=shadow[0].id))


def test_a_model_is_asked_from_its_promotion_until_models_are_disabled(
    mine: Pipeline, settings: dict[str, str]
) -> None:
    one, two = a_recovery(1), a_recovery(2)
    with mine.running(*JOB_SERVICES, **settings):
        before = newest_after_another(mine)
        assert (before["model"], before["shadow"], before["p_shadow"]) == (None, None, None)
        assert 0 < before["p_works"] < 1
        assert (before["fingerprint"], len(before["features"])) == (FINGERPRINT, 4 * len(FEATURES))

        asyncio.run(put_in_force(mine, one, two))
        asked = until_asked(mine, one[0].id, two[0].id)
        assert asked["generation"] != before["generation"]
        assert 0 < asked["p_works"] < 1
        assert 0 < asked["p_shadow"] < 1

        told = CliRunner().invoke(
            build("models"), ["models", "disable", "--purpose", "retry"], env=mine.environment("cli")
        )
        assert told.exit_code == 0, told.output
        alone = until_asked(mine, None, None)
        assert 0 < alone["p_works"] < 1


def test_a_handler_that_begins_anew_goes_on_with_the_arm_that_proved_cheapest(
    mine: Pipeline, settings: dict[str, str]
) -> None:
    costs = {CONTROL: 500.0, "quarter": 5.0}
    told = evidence_of(Settled("transient", arm, 0.5, costs[arm]) for arm in costs for _ in range(200))
    one, two = a_recovery(1), a_recovery(2, told)
    asyncio.run(put_in_force(mine, one, two))
    for _ in range(2):
        with mine.running(*JOB_SERVICES, **settings):
            assert until_asked(mine, one[0].id, two[0].id)["generation"] == two[0].id
            for _ in range(5):
                newest_after_another(mine)
    found = [decision for decision in decisions(mine) if decision["generation"] == two[0].id]
    assert len(found) >= 10
    # A generation whose winner is the rule never chooses this arm so.
    assert {decision["arm"] for decision in found if decision["policy"] == "learned"} == {"quarter"}
