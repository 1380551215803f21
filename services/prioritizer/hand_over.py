"""Hand a batch of ready jobs to their execution topics."""

import logging
from collections import Counter
from collections.abc import Callable

from core.ledger.verdicts import Refused
from core.log import NewRecord, Record
from core.priority import PriorityRule
from core.run_times import RunTimes
from core.subjects import Cause
from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.meter import Meter, Metric
from ports.outcomes import OutcomeReporter
from schemas.accepted_job import AcceptedJob, FailedAttempt
from schemas.codec import decode_accepted, ledger_record
from schemas.routing import failed_record
from schemas.standing_orders import StandingOrders
from schemas.topics import RouteMap
from services.prioritizer.decide import Queueing, diversion, hold, never_queued, queue, ready_at

logger = logging.getLogger(__name__)


class HandOver:
    """The step of the prioritizer: score every dispatch, then append all outputs at once."""

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        meter: Meter,
        now_ms: Callable[[], int],
        run_times: RunTimes,
        rule: PriorityRule,
        orders: StandingOrders,
        outcomes: OutcomeReporter,
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._meter = meter
        self._now_ms = now_ms
        self._run_times = run_times
        self._rule = rule
        self._orders = orders
        self._outcomes = outcomes

    async def work(self, records: list[Record]) -> None:
        """Return when every dispatch of the batch stands in its execution topic, or is held or closed.

        One that no topic takes must not hold up the others. A first dispatch is refused; a later one,
        which only a closure can end, is diverted: dlq_handler finds why in ``jobs.dlq`` and buries it.
        """
        outputs: list[NewRecord] = []
        submitted: list[tuple[AcceptedJob, int]] = []
        stuck: list[FailedAttempt] = []
        counts: Counter[tuple[str, int]] = Counter()
        held: Counter[Cause] = Counter()
        for record in records:
            arrived = decode_accepted(record)
            job = ready_at(arrived, record.timestamp_ms)
            held_for = self._orders.pause_of(job)
            if held_for is not None:
                outputs.extend(hold(self._routes, job, held_for))
                held[held_for.cause] += 1
                submitted.append((arrived, record.timestamp_ms))
                continue
            route = queue(self._routes, job, record.timestamp_ms, self._run_times, self._rule)
            match route:
                case Queueing():
                    outputs.extend(route.records)
                    counts[job.pool, route.bucket] += 1
                    submitted.append((arrived, record.timestamp_ms))
                case str() as problem:
                    _say(job, problem)
                    if job.n == 1:
                        outputs.append(ledger_record(self._routes, Refused(job.origin, job.job_id, problem)))
                    else:
                        stuck.append(never_queued(job, problem, self._now_ms()))
        reached(Failpoint.DECIDED)
        places = await self._appender.append(
            [failed_record(self._routes, attempt, b"PREEMPTED") for attempt in stuck]
        )
        reached(Failpoint.DIVERSION_APPENDED)
        outputs.extend(
            diversion(self._routes, attempt.job, place.offset)
            for attempt, place in zip(stuck, places, strict=True)
        )
        await self._appender.append(outputs)
        reached(Failpoint.APPENDED)
        for arrived, ready_ms in submitted:
            self._outcomes.submitted(arrived, ready_ms)
        self._measure(records, counts)
        for cause, count in held.items():
            self._meter.count(Metric.PARKED, count, stage="prioritizer", cause=str(cause))

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
