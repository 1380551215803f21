"""What is down is called by probes alone; its jobs wait, and flow when it answers again."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.kafka.admin import read_control
from core.breaker import State
from core.ledger.verdicts import Decided, Failed
from core.retry import CIRCUIT_POLICY
from penstock.cli.main import build
from schemas.control import CircuitRecord
from schemas.ledger import LedgerFolds
from schemas.standing_orders import StandingOrders
from tests.support.dependency import Dependency
from tests.support.flow import Flow
from tests.support.pipeline import pipeline
from tests.support.servers import Servers

APP = """
import os
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from penstock import PermanentError, TransientError, task

def call(kind):
    try:
        urlopen(f"{os.environ['DEPENDENCY']}/{kind}", timeout=5).read()
    except HTTPError as error:
        raise TransientError(f"it answered {error.code}") from None

@task("mail", uses=["smtp"], max_attempts=3)
def mail(ctx, payload):
    call("mail")

@task("other", max_attempts=3)
def other(ctx, payload):
    pass

@task("letters", max_attempts=3)
def letters(ctx, payload):
    if payload.get("bad"):
        raise TransientError("no such street")
"""
PER_S = 10
OUTAGE_S = 25


@pytest.fixture
def dependency() -> Iterator[Dependency]:
    with Dependency() as made:
        yield made


@pytest.fixture
def flow(servers: Servers, topic_prefix: str, tmp_path: Path, dependency: Dependency) -> Iterator[Flow]:
    settings = {"PENSTOCK_SLOTS": "8", "DEPENDENCY": dependency.url, "PENSTOCK_HTTP_ALLOW_PRIVATE": "true"}
    with pipeline(servers, topic_prefix, tmp_path) as piped, Flow(piped, APP, **settings) as made:
        yield made


def orders(flow: Flow) -> StandingOrders:
    found = StandingOrders()
    for record in asyncio.run(read_control(flow.piped.kafka, flow.piped.routes)):
        found.take(record)
    return found


def circuit(flow: Flow, name: str) -> CircuitRecord | None:
    return orders(flow).circuits.get(name)


def state(flow: Flow, name: str) -> State:
    record = circuit(flow, name)
    return State.CLOSED if record is None else record.state


def submit_for(flow: Flow, seconds: float, **job: Any) -> int:
    """Submit at ``PER_S`` for a while."""
    sent, began_s = 0, time.monotonic()
    while (passed_s := time.monotonic() - began_s) < seconds:
        due = int(passed_s * PER_S) + 1 - sent
        if due > 0:
            flow.submit(due, **job)
            sent += due
        time.sleep(0.1)
    return sent


@pytest.mark.timeout(500)
def test_an_outage_is_waited_out_by_probes_and_ends_no_job(
    flow: Flow, dependency: Dependency, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.start("executor", "one")
    sent = submit_for(flow, 6, type="mail")
    flow.until(lambda: flow.succeeded("mail") == sent, "all before the outage")
    dependency.is_up = False
    sent += submit_for(flow, OUTAGE_S, type="mail")
    flow.until(lambda: state(flow, "mail") is State.OPEN, "the circuit is open")
    record = circuit(flow, "mail")
    assert record is not None
    assert record.uses == ("smtp",)
    shown = circuits_shown(flow, monkeypatch)
    assert [(row["name"], row["state"]) for row in shown] == [("mail", "open")]
    assert shown[0]["held"] > 0
    failed_before = dependency.counts["refused"]
    flow.submit(40, type="other")
    flow.until(lambda: flow.succeeded("other") == 40, "what calls nothing that is down goes on")

    dependency.is_up = True
    flow.until(lambda: flow.succeeded("mail") == sent, "all of them", 240)
    facts = flow.of_type("mail")
    assert Counter(fact.state for fact in facts) == {"succeeded": sent}
    assert any("circuit" in fact.waited_on for fact in facts)
    # What it took to see the outage, and probes: not one call for each job that waited.
    assert failed_before <= 0.6 * OUTAGE_S * PER_S
    decided = decisions(flow)
    excused = sum(one.policy == CIRCUIT_POLICY for one in decided)
    assert excused > 0
    flow.until(lambda: state(flow, "mail") is State.CLOSED, "the circuit is closed", 120)


def test_one_tenant_whose_jobs_fail_leaves_the_circuit_of_all_closed(flow: Flow) -> None:
    flow.start("executor", "one")
    flow.submit(30, type="letters", tenant="good")
    flow.submit(30, type="letters", tenant="bad")
    flow.until(lambda: flow.succeeded("letters") == 60, "all before")
    flow.submit(30, type="letters", tenant="bad", payload={"bad": True})
    flow.until(
        lambda: sum(fact.state == "dead" for fact in flow.of_type("letters")) == 30, "they end as they must"
    )
    flow.submit(30, type="letters", tenant="good")
    flow.until(lambda: flow.succeeded("letters") == 90, "others are not held")
    assert state(flow, "letters") is State.CLOSED


def test_a_person_opens_and_closes_a_circuit_of_one_host(
    flow: Flow, dependency: Dependency, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.start("executor", "one")
    host = dependency.url.removeprefix("http://")
    name = f"http.request@{host}"
    run(flow, monkeypatch, "circuits", "open", name, "--reason", "maintenance")
    assert state(flow, name) is State.OPEN
    # Some arrive before executors have read the word.
    time.sleep(3)
    flow.submit(40, type="http.request", payload={"url": f"{dependency.url}/hook"})
    other = {"url": dependency.url.replace("127.0.0.1", "localhost") + "/hook"}
    flow.submit(20, type="http.request", payload=other)
    flow.until(lambda: flow.succeeded("http.request") >= 20, "those for another host go on")
    run(flow, monkeypatch, "circuits", "close", name, "--reason", "over")
    flow.until(lambda: flow.succeeded("http.request") == 60, "all of them", 120)


def decisions(flow: Flow) -> list[Decided]:
    folds = LedgerFolds(flow.piped.epoch.epoch, with_notes=False)
    events = folds.take(flow.piped.read(flow.piped.routes.ledger))
    assert not any(isinstance(one.event, Failed) and one.event.error_class == "lost" for one in events)
    return [
        one.event for one in events if isinstance(one.event, Decided) and one.outcome and one.outcome.holds
    ]


def run(flow: Flow, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    for name, value in flow.piped.environment("cli").items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(build(arguments[0]), list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def circuits_shown(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(run(flow, monkeypatch, "circuits", "--json"))
    return shown
