"""Hand a batch of ready jobs to their execution topics."""

import logging
from collections import Counter
from collections.abc import Callable

from core.ledger.verdicts import Refused
from core.log import NewRecord, Record
from core.priority import PriorityRule
from core.run_times import RunTimes
from penstock.identity import home
from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.meter import Meter, Metric
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, job_record, ledger_record
from schemas.topics import RouteMap
from services.prioritizer.decide import place

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
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._meter = meter
        self._now_ms = now_ms
        self._run_times = run_times
        self._rule = rule

    async def work(self, records: list[Record]) -> None:
        """Return when every dispatch of the batch stands in its execution topic."""
        outputs: list[NewRecord] = []
        counts: Counter[tuple[str, int]] = Counter()
        for record in records:
            job = decode_accepted(record)
            if job.pool not in self._routes.pools:
                outputs.append(self._refusal(job))
                continue
            queued, note = place(job, record.timestamp_ms, self._run_times, self._rule)
            topic = self._routes.execution(job.pool, queued.bucket)
            partition = home(job.job_id, self._routes.partitions)
            outputs.append(ledger_record(self._routes, note))
            outputs.append(job_record(topic, partition, queued, job, b"QUEUED"))
            counts[job.pool, queued.bucket] += 1
        reached(Failpoint.DECIDED)
        await self._appender.append(outputs)
        reached(Failpoint.APPENDED)
        self._meter.observe(Metric.BATCH, len(records), stage="prioritizer")
        lag_s = (self._now_ms() - records[-1].timestamp_ms) / 1000
        self._meter.gauge(Metric.LAG_SECONDS, max(0.0, lag_s), topic=self._routes.ready)
        for (pool, bucket), count in counts.items():
            self._meter.count(Metric.QUEUED, count, pool=pool, bucket=str(bucket))

    def _refusal(self, job: AcceptedJob) -> NewRecord:
        """Close a job whose pool was taken out of the configuration after ingest took the job in.

        Its topics may not exist, and one append that waits for them would hold up all pools. A later
        dispatch cannot be refused any more (only what was never claimed can): it stays ``retrying``.
        """
        reason = f"there is no pool {job.pool!r} any more (PENSTOCK_POOLS)"
        logger.error(
            "cannot route dispatch %d: %s",
            job.n,
            reason,
            extra={"job_id": job.job_id, "trace_id": job.trace_id},
        )
        return ledger_record(self._routes, Refused(job.origin, job.job_id, reason))
