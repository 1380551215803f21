"""``penstock why`` on real servers: a job's place, its slots, and what holds others back."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from adapters.postgres.migrate import upgrade
from penstock.cli.main import build
from penstock.client.submission import Job
from penstock.connection import DatabaseConnection
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

APP = """
import time
from datetime import timedelta
from pathlib import Path
from penstock import RetryRule, task

@task("held.up")
def held_up(ctx, payload):
    while not Path(payload["gate"]).exists():
        time.sleep(0.02)

@task("fails", retry=RetryRule(base="30d", cap="60d"))
def fails(ctx, payload):
    raise RuntimeError("no answer")
"""
BACKLOG = 10
SLOTS = 2


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    (tmp_path / "tasks_why.py").write_text(APP)
    # A .penstock of the checkout must not fill what the environment leaves out.
    monkeypatch.chdir(tmp_path)
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        yield mine


def submit(mine: Pipeline, *jobs: Job) -> list[str]:
    async def send() -> list[str]:
        async with mine.client() as client:
            return [ref.job_id for ref in await client.submit_many(list(jobs))]

    return asyncio.run(send())


def run(mine: Pipeline, *arguments: str, code: int = 0) -> str:
    environment = mine.environment("cli")
    result = CliRunner().invoke(build(arguments[0]), list(arguments), env=environment)
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result.stdout if code == 0 else result.stderr


def why(mine: Pipeline, job_id: str) -> Any:
    found = json.loads(run(mine, "why", job_id, "--json"))
    assert found["not_known"] == []
    return found


def wait_for(mine: Pipeline, state: str, *job_ids: str) -> None:
    def are() -> bool:
        with psycopg.connect(mine.database_url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT count(*) FROM jobs WHERE job_id = ANY(%s::uuid[]) AND state = %s",
                [list(job_ids), state],
            ).fetchone()
        return found == (len(set(job_ids)),)

    wait_until(are, f"{job_ids} are {state}", 90)


def held_up(mine: Pipeline, **options: Any) -> Any:
    return {"type": "held.up", "payload": {"gate": str(mine.directory / "gate")}, **options}


def test_why_says_what_is_before_a_job_and_what_holds_others_back(mine: Pipeline) -> None:
    with mine.running("ingest", "scheduler", "prioritizer", "materializer", "dlq_handler"):
        backlog = submit(mine, *[held_up(mine) for _ in range(BACKLOG)])
        wait_for(mine, "queued", *backlog)
        (last,) = submit(mine, held_up(mine))
        wait_for(mine, "queued", last)
        (urgent,) = submit(mine, held_up(mine, priority=9))
        wait_for(mine, "queued", urgent)
        _has_its_place_without_executors(mine, last, urgent)
        others = _others_wait(mine)
        with mine.running(
            "executor",
            PENSTOCK_APP="tasks_why",
            PENSTOCK_APP_PATH=str(mine.directory),
            PENSTOCK_WORKERS="1",
            PENSTOCK_SLOTS=str(SLOTS),
        ):
            wait_for(mine, "running", urgent)
            _has_its_place_behind_those_that_run(mine, last, urgent)
            run(mine, "resume", "type", "fails")
            (mine.directory / "gate").touch()
            wait_for(mine, "succeeded", *backlog, last, urgent)
            wait_for(mine, "retrying", others["paused"])
        assert why(mine, last)["summary"].startswith("it succeeded")
        _waits_by_the_rule(mine, others["paused"])
    assert "no job" in run(mine, "why", "01890000-0000-7000-8000-000000000000", code=1)


def _has_its_place_without_executors(mine: Pipeline, last: str, urgent: str) -> None:
    found = why(mine, last)
    assert found["position"] == BACKLOG + 2
    assert found["ahead"]["jobs"] == BACKLOG + 1
    assert {kind["bucket"] < found["score"]["bucket"] for kind in found["ahead"]["kinds"]} == {True, False}
    assert (found["served"]["slots"], found["expected_start"]) == (0, None)
    assert "no executor serves pool default" in found["summary"]
    assert why(mine, urgent)["position"] == 1
    text = run(mine, "why", last)
    assert "no slot serves its pool" in text
    assert "priority 5, the usual one" in text


def _has_its_place_behind_those_that_run(mine: Pipeline, last: str, urgent: str) -> None:
    def is_full() -> bool:
        return bool(why(mine, last)["served"]["busy"] == SLOTS)

    wait_until(is_full, "a heartbeat says that both slots are busy", 60)
    found = why(mine, last)
    assert found["position"] == BACKLOG + 2 - SLOTS
    start = found["expected_start"]
    assert 0 <= start["low_s"] <= start["point_s"] <= start["high_s"]
    # What is before it takes two slots a second each, as far as anybody can know.
    assert start["point_s"] > 1
    assert why(mine, urgent)["summary"].startswith("it runs")


def _others_wait(mine: Pipeline) -> dict[str, str]:
    run(mine, "pause", "type", "fails", "--reason", "maintenance")
    first, second = submit(mine, held_up(mine, ordering_key="k"), held_up(mine, ordering_key="k"))
    later, paused, gone = submit(
        mine, held_up(mine, run_at="2100-01-01T00:00:00Z"), {"type": "fails"}, held_up(mine, priority=0)
    )
    wait_for(mine, "queued", first, gone)
    wait_for(mine, "waiting", second, later, paused)
    assert first in " ".join(_lines(why(mine, second)))
    assert "waits for its time, 2100-01-01 00:00:00 UTC" in why(mine, later)["summary"]
    held = why(mine, paused)
    assert held["summary"] == "it is held: type fails is paused"
    assert "the 1st of 1 in its partition" in " ".join(_lines(held))
    assert "maintenance" in " ".join(_lines(held))
    run(mine, "cancel", gone)
    run(mine, "cancel", first)
    wait_for(mine, "cancelled", gone, first)
    wait_for(mine, "queued", second)
    run(mine, "cancel", second)
    wait_for(mine, "cancelled", second)
    assert "it was cancelled" in why(mine, gone)["summary"]
    return {"paused": paused}


def _waits_by_the_rule(mine: Pipeline, job_id: str) -> None:
    lines = " ".join(_lines(why(mine, job_id)))
    assert "drawn below 30d: the task's own base of 30d" in lines
    # The rule was played again, and gave the very delay that was decided.
    assert "the draw of this dispatch is" in lines


def _lines(found: Any) -> list[str]:
    return [line for part in found["why"] for line in part["lines"]]
