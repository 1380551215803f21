"""Let held dispatches go on: when their type fails less often, or after a bounded time."""

import asyncio
from collections.abc import Callable, Collection

import msgspec

from core.learning.events import Kind
from core.ledger.open_job import OpenJob, Phase
from core.log import Coordinate
from ports.failpoints import Failpoint, reached
from ports.feature_view import FeatureView
from ports.log import Appender, GroupMember
from ports.meter import Meter, Metric
from ports.stage import stopped_within
from schemas.accepted_job import AcceptedJob, FailedAttempt
from schemas.codec import ledger_record
from schemas.ledger import LedgerFolds
from schemas.outcomes import Subject
from schemas.topics import RouteMap
from services.dlq_handler.decide import after_hold
from services.dlq_handler.fetch import Attempts

READ_MAX = 1000
"""Held dispatches read from ``jobs.dlq`` in one turn; the rest follows in the next."""


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
        self._known: dict[Coordinate, FailedAttempt] = {}
        """What is held and was read, without payloads: it is looked at again and again."""

    async def run(self, stopping: asyncio.Event, every_s: float) -> None:
        """Take a turn every so often until ``stopping``."""
        while not await stopped_within(stopping, every_s):
            await self.turn()

    async def turn(self) -> None:
        """Look once at what is held in owned partitions."""
        held = {
            Coordinate(self._routes.dlq, partition, job.preempted.dlq_offset): job.n
            for partition in self._member.assignment.partitions
            for job in self._folds.fold(partition).open.values()
            if job.preempted is not None and is_held(job)
        }
        await self._read(held)
        now_ms = self._now_ms()
        decided = [
            after_hold(attempt, held[place], self._recent(attempt.job), now_ms, self._hold_ms)
            for place, attempt in self._known.items()
        ]
        outputs = [ledger_record(self._routes, one) for one in decided if one is not None]
        reached(Failpoint.HOLDS_KNOWN)
        await self._appender.append(outputs)
        reached(Failpoint.HOLDS_ENDED)
        self._meter.count(Metric.PREEMPTIONS, len(outputs), arm="released")

    async def _read(self, held: Collection[Coordinate]) -> None:
        """Read what is held and not known yet; forget what is held no more."""
        self._known = {place: attempt for place, attempt in self._known.items() if place in held}
        new = sorted(place for place in held if place not in self._known)[:READ_MAX]
        if new:
            for place, attempt in (await self._attempts.get(new)).items():
                self._known[place] = without_payload(attempt)

    def _recent(self, job: AcceptedJob) -> float | None:
        if self._features is None:
            return None
        state = self._features.state(Subject(job.tenant, job.type).keys[Kind.TYPE])
        return None if state is None else state.failed_share


def is_held(job: OpenJob) -> bool:
    """Whether a pre-empted dispatch waits for the decision that ends its hold."""
    return job.phase is Phase.HELD and job.preempted is not None and job.preempted.n == job.n


def without_payload(attempt: FailedAttempt) -> FailedAttempt:
    """Give what a decision about a hold rests on, small enough to be kept."""
    job = msgspec.structs.replace(attempt.job, payload=msgspec.Raw(b"null"))
    return msgspec.structs.replace(attempt, job=job)
