"""Hand a batch of ready jobs to their execution topics."""

import logging
from collections import Counter
from collections.abc import Callable

from core.learning.law import OrderLaw
from core.ledger.notes import Scored
from core.ledger.verdicts import Refused
from core.log import NewRecord, Record
from core.subjects import Cause
from core.tenant_share import TenantShares
from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.meter import Meter, Metric
from ports.outcomes import OutcomeReporter
from schemas.accepted_job import AcceptedJob, FailedAttempt
from schemas.codec import decode_accepted, ledger_record
from schemas.routing import failed_record
from schemas.standing_orders import StandingOrders
from schemas.topics import RouteMap
from services.prioritizer.decide import (
    Queueing,
    Ranking,
    diversion,
    foreseen_failure,
    hold,
    never_queued,
    queue,
    ready_at,
)
from services.prioritizer.expect import Expecter
from services.prioritizer.preempt import Preemptor

logger = logging.getLogger(__name__)


class HandOver:
    """The step of the prioritizer: score every dispatch, then append all outputs at once."""

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        meter: Meter,
        now_ms: Callable[[], int],
        expecter: Expecter,
        law_of: Callable[[str], OrderLaw],
        orders: StandingOrders,
        outcomes: OutcomeReporter,
        preemptor: Preemptor | None = None,
    ) -> None:
        self._preemptor = preemptor
        self._routes = routes
        self._appender = appender
        self._meter = meter
        self._now_ms = now_ms
        self._expecter = expecter
        self._law_of = law_of
        self._shares = TenantShares()
        self._orders = orders
        self._outcomes = outcomes

    async def work(self, records: list[Record]) -> None:
        """Return when every dispatch of the batch stands in its execution topic, or is held or closed.

        One that no topic takes must not hold up the others. A first dispatch is refused; a later one,
        which only a closure can end, is diverted: dlq_handler finds why in ``jobs.dlq`` and buries it. So is
        what a model expects to fail, and dlq_handler decides what then.
        """
        outputs: list[NewRecord] = []
        submitted: list[tuple[AcceptedJob, int]] = []
        diverted: list[tuple[FailedAttempt, Scored | None]] = []
        counts: Counter[tuple[str, int]] = Counter()
        held: Counter[Cause] = Counter()
        ready: list[tuple[AcceptedJob, int]] = []
        for record in records:
            arrived = decode_accepted(record)
            job = ready_at(arrived, record.timestamp_ms)
            held_for = self._orders.pause_of(job)
            if held_for is None:
                ready.append((arrived, record.timestamp_ms))
            else:
                outputs.extend(hold(self._routes, job, held_for))
                held[held_for.cause] += 1
                submitted.append((arrived, record.timestamp_ms))
        for (arrived, ready_ms), ranking in zip(ready, self._rank([one for one, _ in ready]), strict=True):
            job = ready_at(arrived, ready_ms)
            scored = ranking.expected.scored
            if ranking.is_diverted and ranking.expected.foreseen is not None:
                failure = foreseen_failure(job, ranking.expected.foreseen, self._now_ms())
                diverted.append((failure, scored))
                continue
            route = queue(self._routes, job, ready_ms, ranking)
            match route:
                case Queueing():
                    outputs.extend(route.records)
                    counts[job.pool, route.bucket] += 1
                    submitted.append((arrived, ready_ms))
                case str() as problem:
                    _say(job, problem)
                    if job.n == 1:
                        outputs.append(ledger_record(self._routes, Refused(job.origin, job.job_id, problem)))
                    else:
                        diverted.append((never_queued(job, problem, self._now_ms()), None))
        reached(Failpoint.DECIDED)
        places = await self._appender.append(
            [failed_record(self._routes, attempt, b"PREEMPTED") for attempt, _ in diverted]
        )
        reached(Failpoint.DIVERSION_APPENDED)
        outputs.extend(
            diversion(self._routes, attempt, scored, place.offset)
            for (attempt, scored), place in zip(diverted, places, strict=True)
        )
        await self._appender.append(outputs)
        reached(Failpoint.APPENDED)
        for arrived, ready_ms in submitted:
            self._outcomes.submitted(arrived, ready_ms)
        self._measure(records, counts)
        for cause, count in held.items():
            self._meter.count(Metric.PARKED, count, stage="prioritizer", cause=str(cause))

    def _rank(self, jobs: list[AcceptedJob]) -> list[Ranking]:
        now_ms = self._now_ms()
        expected = self._expecter.expect(jobs, now_ms)
        if self._preemptor is not None:
            expected = self._preemptor.marked(jobs, expected)
        rankings = [
            Ranking(one, self._law_of(job.pool), self._shares.excess(job.tenant, now_ms))
            for job, one in zip(jobs, expected, strict=True)
        ]
        for job, one in zip(jobs, expected, strict=True):
            self._shares.add(job.tenant, one.run_s, now_ms)
        for model, count in Counter(one.model for one in expected).items():
            self._meter.count(Metric.SCORED, count, model=model)
        return rankings

    def _measure(self, records: list[Record], counts: Counter[tuple[str, int]]) -> None:
        self._meter.observe(Metric.BATCH, len(records), stage="prioritizer")
        lag_s = (self._now_ms() - records[-1].timestamp_ms) / 1000
        self._meter.gauge(Metric.LAG_SECONDS, max(0.0, lag_s), topic=self._routes.ready)
        for (pool, bucket), count in counts.items():
            self._meter.count(Metric.QUEUED, count, pool=pool, bucket=str(bucket))


def _say(job: AcceptedJob, problem: str) -> None:
    logger.error(
        "cannot queue dispatch %d: %s", job.n, problem, extra={"job_id": job.job_id, "trace_id": job.trace_id}
    )
