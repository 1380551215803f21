"""The commands of pauses and limits, on a real Kafka."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from core.subjects import Cause, HeldFor, Scope, Subject
from penstock.cli.main import build
from schemas.accepted_job import AcceptedJob
from schemas.held import held_record
from tests.support.pipeline import Pipeline, pipeline
from tests.support.servers import Servers


def run(mine: Pipeline, *arguments: str, code: int = 0) -> Result:
    environment = mine.environment("cli")
    result = CliRunner().invoke(build(arguments[0]), list(arguments), env=environment)
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result


def read_json(result: Result) -> Any:
    return json.loads(result.stdout)


def test_pauses_and_limits_are_set_listed_with_what_is_held_and_lifted(
    servers: Servers, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A .penstock of the checkout must not fill what the environment leaves out.
    monkeypatch.chdir(tmp_path)
    with pipeline(servers, topic_prefix, tmp_path) as mine:
        _pauses(mine)
        _limits(mine)


def _pauses(mine: Pipeline) -> None:
    cli = partial(run, mine)
    assert read_json(cli("paused", "--json")) == []
    cli("pause", "tenant", "acme/eu", "--reason", "provider down")
    cli("pause", "pool", "default")
    held_for = HeldFor(Cause.PAUSE, Subject(Scope.TENANT, "acme/eu"))
    jobs = [job_of(number) for number in range(3)]
    mine.append([held_record(mine.routes, job, held_for) for job in jobs])
    pool, tenant = read_json(cli("paused", "--json"))
    assert (pool["scope"], pool["name"], pool["held"]) == ("pool", "default", 0)
    assert (tenant["name"], tenant["held"], tenant["reason"]) == ("acme/eu", 3, "provider down")
    assert "provider down" in cli("paused").stdout
    assert "PENSTOCK_POOLS" in cli("pause", "pool", "nowhere", code=2).stderr
    cli("resume", "tenant", "acme/eu")
    cli("resume", "pool", "default")
    assert "nothing" in cli("resume", "pool", "default", code=1).stderr
    assert read_json(cli("paused", "--json")) == []


def _limits(mine: Pipeline) -> None:
    cli = partial(run, mine)
    cli("limit", "type", "email.send", "50/s")
    cli("limit", "tenant", "acme", "10/m", "--burst", "3")
    tenant, kind = read_json(cli("limits", "--json"))
    assert (tenant["rate"], tenant["burst"]) == ("10/m", 3)
    assert (kind["rate"], kind["rate_per_s"], kind["burst"], kind["held"]) == ("50/s", 50, 12, 0)
    assert "RATE" in cli("limit", "type", "email.send", "fast", code=2).stderr
    cli("limit", "type", "email.send", "off")
    assert "no limit" in cli("limit", "type", "email.send", "off", code=1).stderr
    assert [row["name"] for row in read_json(cli("limits", "--json"))] == ["acme"]


def job_of(number: int) -> AcceptedJob:
    job_id = f"01890000-0000-7000-8000-{number:012d}"
    return AcceptedJob(
        origin=f"e:0:{number}",
        job_id=job_id,
        type="email.send",
        tenant="acme/eu",
        pool="default",
        payload=msgspec.Raw(b"{}"),
        priority=5,
        submitted_ms=1,
        timeout_s=300,
        max_attempts=5,
        body_hash="0" * 16,
        trace_id="0" * 32,
    )
