"""What the prioritizer does about dispatches that are expected to fail, and that none is lost."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.preemption import Mode, PreemptRule, draw_for
from core.ledger.notes import Queued
from core.ledger.verdicts import Preempted
from core.log import Record
from ports.failpoints import Failpoint, arm
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_event, decode_failed, decode_queued, encode
from schemas.ledger import LedgerFolds
from schemas.models import FailingPoint
from schemas.standing_orders import StandingOrders
from schemas.topics import RouteMap
from services.prioritizer.expect import Expecter
from services.prioritizer.hand_over import HandOver
from services.prioritizer.preempt import Preemptor
from tests.support.outcomes import unheard
from tests.support.scoring import standard_law
from tests.unit.services.prioritizer.test_expect import Bench, Fixed, InForce

ROUTES = RouteMap(partitions=1, pools=("default",))
POINT = FailingPoint(0.75, 0.95, 0.5, 1.0, 200)
ALL = PreemptRule(good_job_s=0.0, anyway_share=0.0, budget_share=1.0)


class Killed(BaseException):
    """The process is gone."""


def record(offset: int, **fields: object) -> Record:
    job = AcceptedJob(
        origin=f"e:0:{offset}",
        job_id=f"01234567-89ab-7def-8123-4567{offset:08d}",
        type="t",
        tenant="acme",
        pool="default",
        payload=msgspec.Raw(b"{}"),
        priority=5,
        submitted_ms=1,
        timeout_s=300,
        max_attempts=5,
        body_hash="0" * 16,
        trace_id="0" * 32,
    )
    return Record(ROUTES.ready, 0, offset, 1, None, encode(msgspec.structs.replace(job, **fields)), ())


class Prioritizer:
    def __init__(
        self, mode: Mode, rule: PreemptRule = ALL, failed: float = 0.9, point: FailingPoint | None = POINT
    ) -> None:
        self.broker = MemoryBroker(lambda: 5)
        self.broker.create_topics(ROUTES.specs())
        self.models = InForce(Fixed("m", math.log1p(9000), failed), failing=point)
        self.mode, self.rule = mode, rule
        self.meter = PrometheusMeter()

    async def work(self, *records: Record) -> None:
        """Begin anew, as after a crash, and take these."""
        bench = Bench(self.models, foresees=True)
        bench.trust("m")
        expecter: Expecter = bench.expecter
        await HandOver(
            ROUTES,
            MemoryAppender(self.broker),
            PrometheusMeter(),
            lambda: 5,
            expecter,
            standard_law,
            StandingOrders(),
            unheard(ROUTES),
            Preemptor(self.mode, self.rule, self.models, self.meter),
        ).work(list(records))

    @property
    def said(self) -> list[object]:
        return [decode_event(one) for one in self.broker.records(ROUTES.ledger)]

    @property
    def ways(self) -> list[str]:
        return [one.scored.way for one in self.said if isinstance(one, Queued | Preempted) and one.scored]

    @property
    def queued_ways(self) -> list[str]:
        topics = ROUTES.executions("default")
        return [decode_queued(one).way for topic in topics for one in self.broker.records(topic)]


@contextmanager
def killed_at(point: Failpoint) -> Iterator[None]:
    def kill() -> None:
        raise Killed

    arm({point: kill})
    try:
        yield
    finally:
        arm({})


async def test_watching_runs_all_and_marks_it() -> None:
    prioritizer = Prioritizer(Mode.WATCH)
    await prioritizer.work(record(0), record(1))
    assert prioritizer.ways == prioritizer.queued_ways == ["watched", "watched"]
    assert prioritizer.broker.records(ROUTES.dlq) == []


async def test_what_is_diverted_stands_in_dlq_first_with_all_that_is_known() -> None:
    prioritizer = Prioritizer(Mode.ON)
    await prioritizer.work(record(0))
    [letter] = prioritizer.broker.records(ROUTES.dlq)
    attempt = decode_failed(letter)
    assert (attempt.error_class, attempt.error_type, attempt.job.origin) == (
        "predicted",
        "PredictedFailure",
        "e:0:0",
    )
    assert attempt.foreseen is not None
    assert (attempt.foreseen.model, attempt.foreseen.point) == ("m", 0.75)
    assert "model m expects it to fail with a probability of 90.0%" in attempt.message
    [verdict] = prioritizer.said
    assert isinstance(verdict, Preempted)
    assert (verdict.n, verdict.p_fail, verdict.dlq_offset) == (1, 0.9, letter.offset)
    assert verdict.scored is not None
    assert (verdict.scored.way, verdict.scored.point, verdict.scored.candidate) == ("diverted", 0.75, "m")
    assert prioritizer.queued_ways == []


async def test_what_is_not_above_or_not_a_first_dispatch_runs_unmarked() -> None:
    below = Prioritizer(Mode.ON, failed=0.7)
    await below.work(record(0))
    assert (below.ways, below.queued_ways) == ([""], [""])
    redriven = Prioritizer(Mode.ON)
    await redriven.work(record(0, n=2))
    assert (redriven.ways, redriven.queued_ways) == ([""], [""])


@pytest.mark.parametrize(
    ("rule", "way"),
    [
        (ALL._replace(good_job_s=1e6), "cheap"),
        (ALL._replace(anyway_share=1.0), "sampled"),
        (ALL._replace(budget_share=0.0), "budget"),
    ],
)
async def test_what_runs_all_the_same_says_why(rule: PreemptRule, way: str) -> None:
    prioritizer = Prioritizer(Mode.ON, rule)
    await prioritizer.work(record(0))
    assert prioritizer.ways == prioritizer.queued_ways == [way]


async def test_a_share_of_all_runs_anyway_chosen_by_its_name() -> None:
    prioritizer = Prioritizer(Mode.ON, ALL._replace(anyway_share=0.3))
    await prioritizer.work(*(record(offset) for offset in range(40)))
    drawn = {f"e:0:{offset}" for offset in range(40) if draw_for(f"e:0:{offset}", 1) < 0.3}
    assert {one.origin for one in prioritizer.said if isinstance(one, Queued)} == drawn
    assert 0 < len(drawn) < 40


async def test_a_budget_counts_types_and_tenants_apart_and_lets_the_rest_run() -> None:
    prioritizer = Prioritizer(Mode.ON, ALL._replace(budget_share=0.1))
    await prioritizer.work(*(record(n, type=f"t{n % 2}", tenant=f"x{n % 3}") for n in range(60)))
    diverted = [one for one in prioritizer.said if isinstance(one, Preempted)]
    assert 0 < len(diverted) <= 6
    assert len(prioritizer.queued_ways) == 60 - len(diverted)


async def test_on_goes_on_as_watch_while_the_champion_has_no_point(caplog: pytest.LogCaptureFixture) -> None:
    prioritizer = Prioritizer(Mode.ON, point=None)
    await prioritizer.work(record(0))
    assert prioritizer.queued_ways == [""]
    assert "model m has no point" in caplog.text
    value = prioritizer.meter.registry.get_sample_value
    assert value("penstock_preempt_mode", {"mode": "on"}) == 0
    assert value("penstock_preempt_mode", {"mode": "watch"}) == 1
    prioritizer.models.failing = POINT
    await prioritizer.work(record(1))
    assert value("penstock_preempt_mode", {"mode": "on"}) == 1
    assert value("penstock_foreseen_failures_total", {"way": "diverted"}) == 1


@pytest.mark.parametrize("point", [Failpoint.DECIDED, Failpoint.DIVERSION_APPENDED, Failpoint.APPENDED])
async def test_killed_anywhere_and_repeated_nothing_is_lost_and_one_verdict_holds(point: Failpoint) -> None:
    prioritizer = Prioritizer(Mode.ON, ALL._replace(budget_share=0.5))
    batch = [record(offset) for offset in range(4)]
    with killed_at(point), pytest.raises(Killed):
        await prioritizer.work(*batch)
    # The second time others are in the budget: what was queued first is claimed, what was diverted is not.
    await prioritizer.work(*batch[1:], batch[0])
    folds = LedgerFolds("e", with_notes=False)
    ledger = prioritizer.broker.records(ROUTES.ledger)
    holding = [one for one in folds.take(ledger) if one.outcome is not None and one.outcome.holds]
    diverted = [one.event.origin for one in holding]
    assert len(diverted) == len(set(diverted))
    queued = {one.origin for one in prioritizer.said if isinstance(one, Queued)}
    assert queued | set(diverted) == {f"e:0:{offset}" for offset in range(4)}
    for origin in diverted:
        job = folds.fold(0).open[origin]
        assert job.preempted is not None
        letter = prioritizer.broker.records(ROUTES.dlq)[job.preempted.dlq_offset]
        assert decode_failed(letter).job.origin == origin
        assert not folds.fold(0).may_claim(origin, job.job_id, 1), "so it never runs as well"
