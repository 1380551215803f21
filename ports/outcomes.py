"""Tells ``jobs.outcomes`` what became of dispatches: one reporter, whatever service needs it."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable

from core.dependencies import Leaning
from core.learning.events import DID_NOT_RUN, Ended, Status, Submitted
from core.learning.seconds import LAG_MS
from ports.failpoints import Failpoint, reached
from ports.log import Appender
from ports.meter import Meter, Metric
from ports.stage import stopped_within
from schemas.accepted_job import AcceptedJob, Predicted
from schemas.outcomes import Calls, Report, SeenRun, Subject, homes, outcome_records
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
KEPT_MAX = 50_000
"""Reports kept while the broker takes none, about 15 MB; what comes on top is dropped and counted."""
ATTEMPTS = 3
"""So often an append is tried that fails otherwise than by a broker that is away, for which the appender
waits; then the second's reports are dropped and counted. No job waits for them."""
CALLS_MAX = 1000
"""Circuits and tenants told of in a second, in some 100 kB; calls of the others are told of nowhere."""
SEEN_MAX = 200
"""Runs told a second of those a model had predicted: what shows how well it orders, in some 10 kB."""
TICK_MS = LAG_MS + 2000
"""After the last thing a partition was told, it is told the time for so long: until all of it is closed."""


class OutcomeReporter:
    """Collects what happens, and appends it once a second. Collecting neither waits nor fails.

    What was collected and not yet appended when the process dies is told by nobody.

    Parameters
    ----------
    now_ms
        Broker time.
    """

    def __init__(
        self, routes: RouteMap, appender: Appender, meter: Meter, now_ms: Callable[[], int], *, source: str
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._meter = meter
        self._now_ms = now_ms
        self._source = source
        self._reports: list[Report] = []
        self._seen: list[SeenRun] = []
        self._ok: Counter[tuple[Leaning, str]] = Counter()
        self._bad: Counter[tuple[Leaning, str]] = Counter()
        """By what was called and tenant."""
        self._told_ms: dict[int, int] = {}
        self._seq = 0

    def submitted(self, job: AcceptedJob, ready_ms: int) -> None:
        """Take in that a dispatch became ready; of one that was held before, nothing new."""
        if job.ready_ms is None:
            self._add(job, Submitted(ready_ms, job.origin, job.n, len(job.payload)))

    def ended(self, job: AcceptedJob, status: Status, run_ms: int = DID_NOT_RUN) -> None:
        """Take in that a dispatch ended, after so long a run if it ran to an end."""
        now_ms = self._now_ms()
        self._add(job, Ended(now_ms, job.origin, job.n, run_ms, status, job.ready_ms or now_ms))

    def ran(self, predicted: Predicted, run_ms: int) -> None:
        """Take in how long a dispatch ran that a model had predicted; of more than a few a second, some."""
        if len(self._seen) < SEEN_MAX:
            run = SeenRun(predicted.model, predicted.by_model, predicted.by_mean, math.log1p(run_ms))
            self._seen.append(run)

    def called(self, leaning: Leaning, tenant: str, *, ok: bool) -> None:
        """Take in that a call of a circuit ended well, or so that what is called may be down."""
        key = (leaning, tenant)
        if key in self._ok or key in self._bad or len(self._ok) + len(self._bad) < CALLS_MAX:
            (self._ok if ok else self._bad)[key] += 1

    def _calls(self) -> list[Calls]:
        ok, self._ok = self._ok, Counter()
        bad, self._bad = self._bad, Counter()
        return [
            Calls(leaning.circuit, leaning.uses, tenant, ok[leaning, tenant], bad[leaning, tenant])
            for leaning, tenant in dict.fromkeys([*ok, *bad])
        ]

    def _add(self, job: AcceptedJob, event: Submitted | Ended) -> None:
        if len(self._reports) < KEPT_MAX:
            self._reports.append(Report(Subject(job.tenant, job.type), event))
        else:
            self._meter.count(Metric.OUTCOMES_DROPPED)

    async def run(self, stopped: asyncio.Event) -> None:
        """Report once a second until ``stopped``, and then once more."""
        while not stopped.is_set():
            await stopped_within(stopped, REPORT_INTERVAL_S)
            await self.report()

    async def report(self) -> None:
        """Append what was collected; how often that is tried, and what is dropped, ``ATTEMPTS`` says."""
        reports, self._reports = self._reports, []
        seen, self._seen = self._seen, []
        calls = self._calls()
        now_ms = self._now_ms()
        for subject in {report.subject for report in reports}:
            self._told_ms |= dict.fromkeys(homes(subject, self._routes.learning_partitions), now_ms)
        ticks = [partition for partition, at_ms in self._told_ms.items() if now_ms - at_ms < TICK_MS]
        self._seq += 1
        records = outcome_records(self._routes, self._source, self._seq, now_ms, reports, ticks, seen, calls)
        reached(Failpoint.OUTCOMES_TAKEN, when=records)
        for _ in range(ATTEMPTS):
            try:
                await self._appender.append(records)
            except Exception as error:
                logger.warning("outcomes could not be appended: %r", error)
            else:
                break
        else:
            self._meter.count(Metric.OUTCOMES_DROPPED, len(reports))
        reached(Failpoint.OUTCOMES_APPENDED, when=records)
