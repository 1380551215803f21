"""Handle the ledger: decide what closed, and carry out the decisions that were read back."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from core.keeper import LossReason, OpenClaims
from core.learning.events import Status
from core.ledger.verdicts import Action, Claimed, Decided, Failed, Lost, Released, Succeeded
from core.log import NewRecord, Record, TopicPartition
from core.retrying.asked import Adviser
from ports.failpoints import Failpoint, reached
from ports.log import Appender, GroupMember
from ports.meter import Meter, Metric
from ports.outcomes import OutcomeReporter
from schemas.accepted_job import FailedAttempt
from schemas.codec import ledger_record
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap
from services.dlq_handler.choose import attempted_of, remember
from services.dlq_handler.circuits import CircuitKeeper
from services.dlq_handler.decide import (
    PREEMPT_POLICY,
    Owed,
    Undecided,
    carried_out,
    decision,
    failure_of,
    handed_on,
    owed_by,
    untold,
)
from services.dlq_handler.fetch import Attempts
from services.dlq_handler.recognize import Recognizer
from services.dlq_handler.safety import is_excused, not_before_told, within_budget


class Handler:
    """The step from a stretch of the ledger to decisions, next dispatches and dead letters.

    Keeps ``claims`` and ``folds`` up to date for the keeper beside it. Every event below
    ``folds.next_offset`` was acted on when ``work`` has returned, so a partition that was lost and
    comes back goes on from there.
    """

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        member: GroupMember,
        meter: Meter,
        now_ms: Callable[[], int],
        folds: LedgerFolds,
        claims: OpenClaims,
        attempts: Attempts,
        outcomes: OutcomeReporter,
        recognizer: Recognizer,
        memory: Adviser | None = None,
        circuits: CircuitKeeper | None = None,
    ) -> None:
        self._circuits = circuits
        self._routes = routes
        self._appender = appender
        self._member = member
        self._meter = meter
        self._now_ms = now_ms
        self._folds = folds
        self._claims = claims
        self._attempts = attempts
        self._outcomes = outcomes
        self._recognizer = recognizer
        self._memory = memory
        self.folded = asyncio.Event()
        """Set whenever more of the ledger was folded; whoever waits clears it first."""

    @property
    def restored(self) -> bool:
        """Whether everything worked on before, on the partitions owned now, is folded."""
        assignment = self._member.assignment
        return assignment.number > 0 and all(
            self._folds.next_offset(partition) >= self._member.committed(self._ledger(partition))
            for partition in assignment.partitions
        )

    async def work(self, records: list[Record]) -> None:
        """Return when everything these records ask for is acknowledged."""
        events = self._take(records)
        self.folded.set()
        committed = {
            partition: self._member.committed(self._ledger(partition))
            for partition in {event.partition for event in events}
        }
        new = [event for event in events if event.offset >= committed[event.partition]]
        owed = owed_by(new, self._folds.fold, self._routes.dlq, self._routes.dead)
        outputs, dead = await self._outputs(owed), _dead(owed)
        reached(Failpoint.CLOSURE_READ, when=owed.undecided)
        reached(Failpoint.DECISION_READ_BACK, when=owed.uncarried or owed.reopened)
        await self._appender.append(outputs)
        reached(Failpoint.DECISION_APPENDED, when=owed.undecided)
        reached(Failpoint.RETRY_APPENDED, when=len(owed.uncarried) > dead or owed.reopened)
        reached(Failpoint.DEAD_LETTER_APPENDED, when=dead)
        self._measure(records, new, owed)

    def _ledger(self, partition: int) -> TopicPartition:
        return TopicPartition(self._routes.ledger, partition)

    def _take(self, records: Iterable[Record]) -> list[FoldedEvent]:
        ledger: list[Record] = []
        for record in records:
            if record.topic == self._routes.dlq:
                self._attempts.remember(record)
            else:
                ledger.append(record)
        events = self._folds.take(ledger)
        for event in events:
            if event.outcome is not None and event.outcome.holds:
                self._follow_claims(event)
                if self._memory is not None:
                    remember(self._memory, event)
        return events

    def _follow_claims(self, event: FoldedEvent) -> None:
        match event.event:
            case Claimed() as claimed:
                self._claims.opened(event.partition, event.timestamp_ms, claimed)
            case Succeeded() | Failed() | Lost() | Released() as closure:
                self._claims.closed(closure.origin, closure.executor)
            case _:
                pass

    async def _outputs(self, owed: Owed) -> list[NewRecord]:
        places = [item.source for item in owed.undecided] + [item.source for item in owed.uncarried]
        places += [item.source for item in owed.reopened]
        if not places:
            return []
        attempts = await self._attempts.get(places)
        failures = {item.source: failure_of(item, attempts[item.source]) for item in owed.undecided}
        kinds = await self._recognizer.recognize(
            {place: failure for place, failure in failures.items() if failure is not None}
        )
        now_ms = self._now_ms()
        outputs: list[NewRecord] = []
        for closed in owed.undecided:
            attempt, kind = attempts[closed.source], kinds.get(closed.source)
            if self._memory is not None and isinstance(closed.verdict, Failed):
                attempted = attempted_of(attempt, closed.job.failures, kind or "")
                self._memory.about(closed.verdict.origin, attempted, now_ms)
            decided = self._decided(closed, attempt, now_ms, kind)
            outputs.append(ledger_record(self._routes, decided))
            if decided.chosen is not None:
                self._meter.count(Metric.RETRY_CHOICES, policy=decided.policy, arm=decided.chosen.arm)
            if decided.policy == PREEMPT_POLICY:
                self._meter.count(Metric.PREEMPTIONS, arm=str(decided.action))
        for gone in untold(owed):
            self._outcomes.ended(attempts[gone.source].job, Status.LOST)
        outputs.extend(
            carried_out(item, attempts[item.source], self._routes, now_ms) for item in owed.uncarried
        )
        missed = sum(
            item.verdict.action is Action.DEAD and attempts[item.source].job.deadline_ms is not None
            for item in owed.uncarried
        )
        if missed:
            self._meter.count(Metric.DEADLINES, missed, outcome="missed")
        for item in owed.reopened:
            outputs.extend(handed_on(item, attempts[item.source], self._routes, now_ms))
        return outputs

    def _decided(self, closed: Undecided, attempt: FailedAttempt, now_ms: int, kind: str | None) -> Decided:
        """Decide by the rule, within what circuits and budgets allow."""
        circuits = self._circuits
        if circuits is None:
            return decision(closed, attempt, now_ms, kind, self._memory)
        excused = is_excused(closed.verdict, attempt, circuits.is_open)
        decided = decision(closed, attempt, now_ms, kind, self._memory, is_excused=excused)
        if circuits.is_on and not excused:
            decided = not_before_told(decided, closed, attempt, now_ms)
        within = within_budget(decided, closed.verdict, attempt, circuits.budgets, now_ms)
        if excused:
            self._meter.count(Metric.EXCUSED)
        if within is not decided:
            self._meter.count(Metric.RETRIES_DELAYED)
        return within

    def _measure(self, records: list[Record], new: list[FoldedEvent], owed: Owed) -> None:
        self._meter.observe(Metric.BATCH, len(records), stage="dlq_handler")
        newest: dict[str, int] = {}
        for record in records:
            newest[record.topic] = max(record.timestamp_ms, newest.get(record.topic, 0))
        for topic, timestamp_ms in newest.items():
            lag_s = (self._now_ms() - timestamp_ms) / 1000
            self._meter.gauge(Metric.LAG_SECONDS, max(0.0, lag_s), topic=topic)
        outcomes: Counter[tuple[Metric, str]] = Counter()
        for item in owed.uncarried:
            dead = item.verdict.action is Action.DEAD
            label = (item.verdict.error_class if dead else None) or item.fault or "none"
            outcomes[Metric.DEAD if dead else Metric.RETRIES, str(label)] += 1
        for (metric, label), count in outcomes.items():
            self._meter.count(metric, count, error_class=label)
        for event in new:
            if isinstance(event.event, Lost) and event.outcome is not None and event.outcome.holds:
                self._meter.count(Metric.LOST, reason=_reason(event.event.reason))


def _dead(owed: Owed) -> int:
    return sum(item.verdict.action is Action.DEAD for item in owed.uncarried)


def _reason(text: str) -> str:
    """Bound what a label may be."""
    return text if text in set(LossReason) else "other"
