"""Sift what was fetched: what may be claimed, what needs a token first, and what is to be held."""

from collections.abc import Callable
from typing import NamedTuple

from core.log import NewRecord, TopicPartition
from core.subjects import Cause, HeldFor, Subject
from ports.failpoints import Failpoint, reached
from ports.meter import Metric
from schemas.accepted_job import AcceptedJob
from schemas.codec import ledger_record
from schemas.held import held_note, held_record
from schemas.standing_orders import StandingOrders
from services.executor.context import ExecutorContext
from services.executor.held import WaitingJob
from services.executor.limit import Came, Limiter, Room


class RoomLane(NamedTuple):
    """A lane of its own for what needs tokens: without them, only it stands still."""

    lane: TopicPartition
    subjects: tuple[Subject, ...]


class Sift:
    """Says where dispatches that were fetched wait; one for each queue that claims are made from.

    Parameters
    ----------
    room
        Of this queue, one of the limiter's.
    """

    def __init__(self, orders: StandingOrders, limiter: Limiter, room: Room) -> None:
        self._orders = orders
        self._limiter = limiter
        self._room = room

    def held_for(self, job: AcceptedJob) -> HeldFor | None:
        """Give what the job is to be held for instead of waiting here; None: nothing."""
        paused = self._orders.pause_of(job)
        if paused is not None:
            return paused
        full = next((one for one in self._limiter.limits_of(job) if self._is_full(one, job)), None)
        return None if full is None else HeldFor(Cause.LIMIT, full)

    def _is_full(self, subject: Subject, job: AcceptedJob) -> bool:
        limit, came = self._limiter.limit(subject), how_came(job, subject)
        if limit is None or came is Came.BY_THE_WAY:
            return False
        return self._room[subject, came] >= limit.room

    def enter(self, waiting: WaitingJob, lane: TopicPartition) -> TopicPartition | RoomLane:
        """Give the lane in which a dispatch waits, and count it there."""
        job = waiting.queued.job
        waiting.limits = self._limiter.limits_of(job)
        if not waiting.limits:
            return lane
        for subject in waiting.limits:
            self._room[subject, how_came(job, subject)] += 1
        return RoomLane(lane, waiting.limits)

    def leave(self, waiting: WaitingJob) -> None:
        """Count a dispatch out."""
        for subject in waiting.limits:
            self._room[subject, how_came(waiting.queued.job, subject)] -= 1

    def is_open(self, lane: object) -> bool:
        """Whether what waits in a lane may be claimed now, as far as tokens go."""
        return not isinstance(lane, RoomLane) or self._limiter.may_take(lane.subjects)


def how_came(job: AcceptedJob, subject: Subject) -> Came:
    """Say how a dispatch came to wait for tokens of one of its subjects."""
    if job.held_for is None or not job.held_for.startswith(f"{Cause.LIMIT}/"):
        return Came.NEW
    return Came.BACK if job.held_for == str(HeldFor(Cause.LIMIT, subject)) else Came.BY_THE_WAY


class Parked(NamedTuple):
    """A queued dispatch that is to be held."""

    waiting: WaitingJob
    held_for: HeldFor


class Parker:
    """Moves queued dispatches to ``jobs.held``: once each, with no attempt used up.

    Parameters
    ----------
    is_over
        Whether no claim of a dispatch can hold any more. Such a one is left where it is: held, it would come
        back to be held again for as long as there is a surplus.
    """

    def __init__(
        self, context: ExecutorContext, is_over: Callable[[WaitingJob], bool], orders: StandingOrders
    ) -> None:
        self._context = context
        self._orders = orders
        self._is_over = is_over

    async def park(self, parked: list[Parked]) -> None:
        """Return when all stand in ``jobs.held``; of repeats after a crash the ledger refuses all but one."""
        parked = [one for one in parked if not self._is_over(one.waiting)]
        outputs = [record for one in parked for record in self._records(one)]
        reached(Failpoint.PARKING, when=outputs)
        await self._context.appender.append(outputs)
        reached(Failpoint.PARKED, when=outputs)
        for one in parked:
            self._context.meter.count(Metric.PARKED, stage="executor", cause=str(one.held_for.cause))

    def _records(self, one: Parked) -> list[NewRecord]:
        job, routes = one.waiting.queued.job, self._context.routes
        note = held_note(job, one.held_for, queued=True, on=self._orders.waits_on(one.held_for))
        return [ledger_record(routes, note), held_record(routes, job, one.held_for)]
