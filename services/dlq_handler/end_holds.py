"""Let held dispatches go on: when their type fails less often, or after a bounded time."""

import asyncio
from collections.abc import Callable

from core.learning.events import Kind
from core.ledger.open_job import OpenJob, Phase
from core.log import Coordinate
from ports.failpoints import Failpoint, reached
from ports.feature_view import FeatureView
from ports.log import Appender, GroupMember
from ports.meter import Meter, Metric
from ports.stage import stopped_within
from schemas.accepted_job import AcceptedJob
from schemas.codec import ledger_record
from schemas.ledger import LedgerFolds
from schemas.outcomes import Subject
from schemas.topics import RouteMap
from services.dlq_handler.decide import after_hold
from services.dlq_handler.fetch import Attempts

DECIDED_MAX = 1000
"""Held dispatches looked at in one turn; the rest follows in the next."""


class HoldWatch:
    """Gives the one decision that follows a hold, for as long as it runs.

    Holds are found in the folds alone, so nothing is lost with the process. Of two that decide about the same
    hold the first is read back as holding; the handler beside carries it out.

    Parameters
    ----------
    features
        None: holds end by time alone.
    """

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        member: GroupMember,
        meter: Meter,
        now_ms: Callable[[], int],
        folds: LedgerFolds,
        attempts: Attempts,
        features: FeatureView | None,
        hold_ms: int,
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._member = member
        self._meter = meter
        self._now_ms = now_ms
        self._folds = folds
        self._attempts = attempts
        self._features = features
        self._hold_ms = hold_ms

    async def run(self, stopping: asyncio.Event, every_s: float) -> None:
        """Take a turn every so often until ``stopping``."""
        while not await stopped_within(stopping, every_s):
            await self.turn()

    async def turn(self) -> None:
        """Look once at what is held in owned partitions."""
        held = {
            Coordinate(self._routes.dlq, partition, job.preempted.dlq_offset): (origin, job.n)
            for partition in self._member.assignment.partitions
            for origin, job in self._folds.fold(partition).open.items()
            if job.preempted is not None and is_held(job)
        }
        places = sorted(held)[:DECIDED_MAX]
        attempts = await self._attempts.get(places) if places else {}
        now_ms = self._now_ms()
        decided = [
            after_hold(
                attempts[place], held[place][1], self._recent(attempts[place].job), now_ms, self._hold_ms
            )
            for place in places
        ]
        outputs = [ledger_record(self._routes, one) for one in decided if one is not None]
        reached(Failpoint.HOLDS_KNOWN)
        await self._appender.append(outputs)
        reached(Failpoint.HOLDS_ENDED)
        self._meter.count(Metric.PREEMPTIONS, len(outputs), arm="released")

    def _recent(self, job: AcceptedJob) -> float | None:
        if self._features is None:
            return None
        state = self._features.state(Subject(job.tenant, job.type).keys[Kind.TYPE])
        return None if state is None else state.failed_share


def is_held(job: OpenJob) -> bool:
    """Whether a pre-empted dispatch waits for the decision that ends its hold."""
    return job.phase is Phase.HELD and job.preempted is not None and job.preempted.n == job.n
