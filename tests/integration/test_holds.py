"""What is paused is held once and costs nothing; resumed, it completes, through kills at every step."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.ledger.verdicts import Cancel
from core.subjects import Scope
from schemas.codec import decode_accepted, ledger_record
from schemas.held import HELD_KIND
from tests.support.flow import Flow
from tests.support.pipeline import pipeline
from tests.support.servers import Servers

APP = """
import os, time
from penstock import task

def note(ctx):
    with open(os.environ["EFFECTS"], "a", encoding="utf-8") as file:
        file.write(ctx.job_id + "\\n")

@task("held")
def held(ctx, payload):
    time.sleep(payload["s"])
    note(ctx)

@task("other")
def other(ctx, payload):
    note(ctx)
"""
SETTLE_MS = 1500
"""A pause is known to everybody by then."""
JANITOR = {"PENSTOCK_JANITOR_S": "0.5", "PENSTOCK_JANITOR_STEP_RECORDS": "1"}
POINTS = (
    None,
    ("executor", "parking"),
    ("executor", "parked"),
    ("prioritizer", "decided"),
    ("prioritizer", "appended"),
    ("scheduler", "held_taken"),
    ("scheduler", "held_handed_on"),
    ("scheduler", "held_told"),
    ("scheduler", "held_marks_due"),
)


@pytest.fixture
def flow(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Flow]:
    settings = {"PENSTOCK_GATES_TOLD_EVERY_S": "1", **JANITOR}
    with (
        pipeline(servers, topic_prefix, tmp_path) as piped,
        Flow(piped, APP, PENSTOCK_SLOTS="4", **settings) as made,
    ):
        yield made


def parked(flow: Flow) -> Counter[tuple[str, int]]:
    """How often each dispatch stands in ``jobs.held``, as far as it is not trimmed."""
    records = flow.piped.read(flow.piped.routes.held)
    jobs = [decode_accepted(record) for record in records if record.header("kind") == HELD_KIND]
    return Counter((job.origin, job.n) for job in jobs)


def armed(flow: Flow, service: str, point: tuple[str, str] | None) -> dict[str, str]:
    if point is None or point[0] != service:
        return {}
    return {"PENSTOCK_FAILPOINTS": f"{service}.{point[1]}:kill"}


@pytest.mark.parametrize("point", POINTS, ids=lambda point: "none" if point is None else ".".join(point))
def test_a_paused_type_waits_and_completes_when_resumed(flow: Flow, point: tuple[str, str] | None) -> None:
    # The janitor would take away what is counted below.
    flow.stop("dlq_handler")
    flow.start("dlq_handler", PENSTOCK_JANITOR_S="3600")
    for service in ("scheduler", "executor"):
        if armed(flow, service, point) and service == "scheduler":
            flow.stop(service)
        if service == "executor" or armed(flow, service, point):
            flow.start(service, **armed(flow, service, point))
    # Longer than anybody on a busy machine needs to learn of the pause.
    flow.submit(30, type="held", payload={"s": 0.8})
    flow.submit(30, type="other", payload={})
    flow.until(lambda: flow.succeeded("held") >= 2, "some of what will be paused")

    paused_ms = flow.pause(Scope.TYPE, "held")
    if point is not None and point[0] == "prioritizer":
        flow.stop("prioritizer")
        flow.start("prioritizer", **armed(flow, "prioritizer", point))
    flow.submit(40, type="held", payload={"s": 0.0})
    flow.submit(40, type="other", payload={})
    flow.until(lambda: flow.succeeded("other") == 70, "everything else")
    flow.until(lambda: len(parked(flow)) + flow.succeeded("held") >= 70, "the rest is held")
    # Two polls of the executor, in which nothing more may start.
    time.sleep(1.0)
    assert flow.succeeded("held") < 30

    resumed_ms = flow.pause(Scope.TYPE, "held", paused=False)
    flow.until(lambda: flow.succeeded("held") == 70, "what was held")

    if point is not None:
        assert flow.ends == [point[0]]
    facts = flow.of_type("held")
    started = [claim.at_ms for fact in facts for claim in fact.claims]
    assert not [at_ms for at_ms in started if paused_ms + SETTLE_MS < at_ms < resumed_ms]
    # No attempt is used up; without a killed executor each starts once and has its effect once.
    assert {claim.attempt for fact in facts for claim in fact.claims} == {1}
    if point is None or point[0] != "executor":
        assert {len(fact.claims) for fact in facts} == {1}
        assert Counter(flow.effects()).most_common(1)[0][1] == 1
    assert max(parked(flow).values()) <= (1 if point is None else 2)
    assert all("pause" in fact.waited_on for fact in facts if fact.claims[-1].at_ms > resumed_ms)


def test_a_held_job_expires_and_is_cancelled_like_any_other(flow: Flow) -> None:
    flow.start("executor")
    flow.submit(1, type="other")
    flow.until(lambda: flow.succeeded("other") == 1, "all services at work")
    flow.pause(Scope.TENANT, "acme")
    soon = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
    flow.submit(1, type="other", tenant="acme", expires_at=soon)
    flow.submit(2, type="other", tenant="acme")
    flow.until(lambda: len(parked(flow)) == 3, "all held")
    [cancelled, _] = [
        job
        for record in flow.piped.read(flow.piped.routes.held)
        if record.header("kind") == HELD_KIND and (job := decode_accepted(record)).expires_at_ms is None
    ]
    flow.append(ledger_record(flow.piped.routes, Cancel("", cancelled.job_id, "test")))
    flow.until(lambda: {"cancelled", "expired"} <= states(flow), "both ended while they are held")
    flow.pause(Scope.TENANT, "acme", paused=False)
    flow.until(lambda: flow.succeeded("other") == 2, "the third")
    assert Counter(fact.state for fact in flow.of_type("other")) == {
        "cancelled": 1,
        "expired": 1,
        "succeeded": 2,
    }
    assert len(flow.effects()) == 2


def states(flow: Flow) -> set[str]:
    return {fact.state for fact in flow.facts().values()}


def test_what_was_handed_on_is_trimmed_and_what_is_held_is_not(flow: Flow) -> None:
    flow.start("executor")
    for held, name in ((20, "acme"), (40, "umbrella")):
        flow.pause(Scope.TENANT, name)
        flow.submit(20, type="other", tenant=name)
        flow.until(lambda held=held: len(parked(flow)) == held, "all held")  # type: ignore[misc]
    flow.pause(Scope.TENANT, "acme", paused=False)
    flow.until(lambda: flow.succeeded("other") == 20, "those resumed")
    flow.until(lambda: len(parked(flow)) == 20, "those before the oldest held are gone", 30)
    flow.pause(Scope.TENANT, "umbrella", paused=False)
    flow.until(lambda: flow.succeeded("other") == 40, "the others")
    flow.until(lambda: not parked(flow), "all gone", 30)


def test_a_paused_pool_leaves_other_subjects_to_the_scheduler_that_starts_anew(flow: Flow) -> None:
    flow.start("executor")
    flow.pause(Scope.POOL, "default")
    flow.submit(25, type="other")
    flow.until(lambda: len(parked(flow)) == 25, "all held")
    flow.kill("scheduler")
    flow.pause(Scope.POOL, "default", paused=False)
    flow.start("scheduler")
    flow.until(lambda: flow.succeeded("other") == 25, "resumed while no scheduler ran")
    assert Counter(flow.effects()).most_common(1)[0][1] == 1
