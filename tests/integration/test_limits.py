"""Rate limits hold over every 10 s by the broker's own times, whoever claims, and hold up nothing else."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from core.subjects import Scope
from schemas.held import HELD_KIND
from tests.support.flow import Facts, Flow
from tests.support.pipeline import pipeline
from tests.support.servers import Servers

APP = """
from penstock import task

@task("limited")
async def limited(ctx, payload):
    pass

@task("other")
async def other(ctx, payload):
    pass
"""
WINDOW_MS = 10_000
MORE = 1.05
"""What is promised of every window of ten seconds. That a limit is used is asked of the best window: a
machine that stands still for a moment uses less, and how much is for ``benchmarks/holds.py``."""


@pytest.fixture
def flow(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Flow]:
    with pipeline(servers, topic_prefix, tmp_path) as piped, Flow(piped, APP, PENSTOCK_SLOTS="16") as made:
        yield made


def started(facts: Sequence[Facts]) -> list[int]:
    """Broker times of the claims."""
    return sorted(claim.at_ms for fact in facts for claim in fact.claims)


def windows(times_ms: Sequence[int], from_ms: int, to_ms: int, step_ms: int = 250) -> list[int]:
    """How many fall into every window of ten seconds between two times."""
    begins = range(from_ms, to_ms - WINDOW_MS, step_ms)
    return [sum(begin <= at_ms < begin + WINDOW_MS for at_ms in times_ms) for begin in begins]


def per_second(times_ms: Sequence[int], from_ms: int) -> list[tuple[int, int]]:
    return sorted(Counter((at_ms - from_ms) // 1000 for at_ms in times_ms).items())


def claims_since(flow: Flow, kind: str, since_ms: int) -> int:
    return sum(at_ms >= since_ms for at_ms in started(flow.of_type(kind)))


def test_two_executors_keep_and_use_a_limit_also_when_one_is_started_anew(flow: Flow) -> None:
    rate = 50
    for name in ("one", "two"):
        flow.start("executor", name)
    flow.submit(2, type="other")
    flow.until(lambda: flow.succeeded("other") == 2, "all at work")
    limited_ms = flow.limit(Scope.TYPE, "limited", rate, 12)
    flow.submit(rate * 50, type="limited")
    flow.until(lambda: claims_since(flow, "limited", limited_ms) > rate * 2, "claims")
    steady_ms = started(flow.of_type("limited"))[-1]
    flow.until(lambda: claims_since(flow, "limited", steady_ms) > rate * 14, "14 s of claims")
    both_ms = started(flow.of_type("limited"))[-1]
    flow.stop("two")
    flow.start("executor", "two")
    flow.until(lambda: claims_since(flow, "limited", both_ms) > rate * 22, "22 s more")

    facts = flow.of_type("limited")
    times_ms, last_ms = started(facts), started(facts)[-1]
    whole = windows(times_ms, limited_ms, last_ms)
    steady = windows(times_ms, steady_ms, both_ms)
    said = f"a second: {per_second(times_ms, limited_ms)}, windows: {steady}"
    assert max(whole) <= rate * 10 * MORE, said
    assert max(steady) >= rate * 10 / MORE, said
    # One that stops gives up its part at once; one that starts has none for 1.5 s, and partitions already.
    through = windows(times_ms, both_ms - WINDOW_MS, last_ms)
    assert min(through) >= rate * 10 / 2, said
    executors = {claim.executor for fact in facts for claim in fact.claims}
    assert len(executors) == 2
    assert {claim.attempt for fact in facts for claim in fact.claims} == {1}
    # What no executor has room for is held, and not sent about; once more where a rebalance came before the
    # commit, which waits for the oldest dispatch in memory: at the start, and when one joins again.
    held = [r for r in flow.piped.read(flow.piped.routes.held) if r.header("kind") == HELD_KIND]
    assert 0 < len(held) <= len(facts) * 2.2


def test_limits_of_a_type_and_of_a_tenant_hold_together_and_hold_up_nothing_else(flow: Flow) -> None:
    flow.start("executor", "one")
    flow.submit(2, type="other")
    flow.until(lambda: flow.succeeded("other") == 2, "all at work")
    limited_ms = flow.limit(Scope.TYPE, "limited", 40, 10)
    flow.limit(Scope.TENANT, "acme", 10, 2)
    flow.submit(400, type="limited", tenant="acme")
    flow.submit(900, type="limited", tenant="umbrella")
    flow.submit(200, type="other", tenant="acme")
    flow.submit(300, type="other", tenant="umbrella")

    def free() -> list[Facts]:
        return [fact for fact in flow.of_type("other") if fact.tenant == "umbrella"]

    flow.until(lambda: sum(fact.state == "succeeded" for fact in free()) == 300, "what has no limit")
    free_s = (started(free())[-1] - limited_ms) / 1000
    flow.until(lambda: claims_since(flow, "limited", limited_ms) > 40 * 20, "20 s of claims")

    facts = [fact for fact in flow.facts().values() if fact.claims]
    by_type = [fact for fact in facts if fact.type == "limited"]
    by_tenant = [fact for fact in facts if fact.tenant == "acme"]
    last_ms = started(by_type)[-1]
    of_type = windows(started(by_type), limited_ms, last_ms)
    of_tenant = windows(started(by_tenant), limited_ms, last_ms)
    said = f"type: {of_type}, tenant: {of_tenant}, others: {free_s} s"
    assert max(of_type) <= 400 * MORE, said
    assert max(of_tenant) <= 100 * MORE, said
    assert max(of_type) >= 400 / MORE, said
    # Tokens of the type go to who waits longest, so the tenant has less than its own limit (47 to 75 of 100
    # were seen); how much less is not promised, only that it is not passed over.
    assert statistics.median(of_tenant) >= 30, said
    # Nine times as long is what the type's limit alone would take for them.
    assert free_s < 15


def test_what_is_held_for_a_limit_goes_on_at_once_when_the_limit_is_taken_away(flow: Flow) -> None:
    flow.start("executor", "one")
    flow.limit(Scope.TYPE, "limited", 1, 1)
    flow.submit(500, type="limited")
    held = flow.piped.routes.held
    flow.until(lambda: len(flow.piped.read(held)) > 300, "most are held")
    time.sleep(2)
    assert flow.succeeded("limited") < 50
    flow.limit(Scope.TYPE, "limited", None)
    flow.until(lambda: flow.succeeded("limited") == 500, "all of them", 60)
