"""Hand a batch of records on: jobs to where they go next, the rest to ``jobs.rejected``."""

import logging
from collections import Counter
from collections.abc import Callable

from core.log import NewRecord, Record
from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.meter import Meter, Metric
from schemas.codec import encode, job_record, ledger_record
from schemas.gates import opens_gated
from schemas.routing import begins_at_home, onward
from schemas.topics import RouteMap
from services.ingest.decide import Accepted, BatchDecision, IngestContext, Rejected, decide_batch

logger = logging.getLogger(__name__)


class HandOver:
    """The step of ingest: decide about every record, then append all outputs at once."""

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        meter: Meter,
        now_ms: Callable[[], int],
        context: IngestContext,
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._meter = meter
        self._now_ms = now_ms
        self._context = context

    async def work(self, records: list[Record]) -> None:
        """Return when every record of the batch is a job on its way or a rejection."""
        batch = decide_batch(records, self._context)
        reached(Failpoint.DECIDED)
        opening, outputs = self._outputs(batch)
        await self._appender.append(opening)
        reached(Failpoint.TOLD, when=opening)
        await self._appender.append(outputs)
        reached(Failpoint.APPENDED)
        self._measure(records, batch)

    def _outputs(self, batch: BatchDecision) -> tuple[list[NewRecord], list[NewRecord]]:
        """Give what is appended first, that gated jobs are accepted, and everything else.

        It precedes all the ledger says of them, so whoever follows gated jobs misses none of their ends.
        """
        opening: list[NewRecord] = []
        outputs: list[NewRecord] = []
        for accepted in batch.accepted:
            if accepted.note is not None:
                told = ledger_record(self._routes, accepted.note)
                (opening if opens_gated(told) else outputs).append(told)
            outputs.extend(self._job(accepted))
        outputs.extend(self._rejection(rejected) for rejected in batch.rejected)
        return opening, outputs

    def _job(self, accepted: Accepted) -> list[NewRecord]:
        job = accepted.job
        if begins_at_home(job, accepted.gates):
            return [job_record(self._routes.gates, accepted.home, job, job, b"GATED")]
        return onward(self._routes, job, None, job.submitted_ms)

    def _rejection(self, rejected: Rejected) -> NewRecord:
        record = rejected.record
        key = f"{self._context.epoch}:{record.partition}:{record.offset}".encode()
        headers = (("schema", b"1"), ("kind", b"REJECTED"), ("reason", record.reason.encode()))
        return NewRecord(self._routes.rejected, rejected.partition, key, encode(record), headers)

    def _measure(self, records: list[Record], batch: BatchDecision) -> None:
        self._meter.observe(Metric.BATCH, len(records), stage="ingest")
        self._meter.gauge(
            Metric.LAG_SECONDS,
            max(0.0, (self._now_ms() - records[-1].timestamp_ms) / 1000),
            topic=self._routes.jobs,
        )
        for pool, count in Counter(accepted.job.pool for accepted in batch.accepted).items():
            self._meter.count(Metric.ACCEPTED, count, pool=pool)
        reasons = Counter(rejected.reason for rejected in batch.rejected)
        for reason, count in reasons.items():
            self._meter.count(Metric.REJECTED, count, reason=reason)
        if batch.rejected:
            first = batch.rejected[0].record
            logger.info(
                "rejected %d records, the first at %s/%d/%d: %s",
                len(batch.rejected),
                first.topic,
                first.partition,
                first.offset,
                first.message,
                extra={"reasons": dict(reasons)},
            )
