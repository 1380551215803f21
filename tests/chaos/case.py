"""One job and all that is known of it: what was sent, logged, shown in the table, and done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from adapters.postgres.comparison import Image
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Cancel, Claimed, Closure, Failed, Lost, Released, Succeeded, Verdict
from core.states import TERMINAL, State
from penstock.demo.sent import SendOutcome
from schemas.ledger import FoldedEvent
from tests.chaos.effects import Effect
from tests.chaos.orders import Order


class Submitted(NamedTuple):
    """A record of the topic ``jobs`` that names this job."""

    partition: int
    offset: int
    timestamp_ms: int
    order: Order | None
    """None: nobody of this run sent it."""
    outcome: SendOutcome
    rejected: str | None
    """Reason in ``jobs.rejected``."""
    rejected_at: int = -1
    """Offset there."""

    def is_at(self, origin: str) -> bool:
        """Whether an origin, of whatever epoch, names this record."""
        return origin.endswith(f":{self.partition}:{self.offset}")


class Letter(NamedTuple):
    """A record of ``jobs.dlq`` or ``jobs.dead``."""

    is_dead: bool
    partition: int
    offset: int
    origin: str
    n: int
    attempt: int
    error_class: str
    message: str


class Hop(NamedTuple):
    """A record with a dispatch in a gate, the wheel, ``jobs.held``, ``jobs.ready`` or an execution topic."""

    n: int
    topic: str
    partition: int
    offset: int
    at_ms: int
    origin: str
    next: str
    """In the wheel: ``ready``, or ``expire`` when the record is about the job's end alone."""


@dataclass
class Case:
    """All facts of one job.

    Attributes
    ----------
    job_id
        Or ``jobs/PARTITION/OFFSET`` of a record that is no job.
    events
        In the order of the ledger, with what the fold of the whole partition says of each. Of an
        outcome only its own values: ``job`` says no more than whether there was one.
    rows
        The table's rows of this job, as ``adapters.postgres.refold`` names them.
    """

    job_id: str
    records: Sequence[Submitted] = ()
    events: Sequence[FoldedEvent] = ()
    effects: Sequence[Effect] = ()
    letters: Sequence[Letter] = ()
    hops: Sequence[Hop] = ()
    rows: Image = field(default_factory=dict)

    @property
    def order(self) -> Order | None:
        """What was sent first for this job."""
        return next((one.order for one in self.records if one.order is not None), None)

    @property
    def verdicts(self) -> list[tuple[FoldedEvent, Verdict, Outcome]]:
        """The verdicts that hold."""
        return [
            (event, event.event, event.outcome)  # type: ignore[misc]  # with an outcome it is a verdict
            for event in self.events
            if event.outcome is not None and event.outcome.holds
        ]

    @property
    def endings(self) -> list[tuple[FoldedEvent, State]]:
        """The verdicts that ended the job, and how."""
        return [
            (event, outcome.state)
            for event, verdict, outcome in self.verdicts
            if outcome.state is not None and outcome.state in TERMINAL and not overtook(verdict, outcome)
        ]

    @property
    def ended_ms(self) -> int | None:
        """When the verdict stood in the log that the last end rests on, broker time.

        A cancel by id alone ends a job that is not claimed at once, though its origin is named later.
        """
        if not self.endings:
            return None
        event, state = self.endings[-1]
        ahead = [
            earlier.timestamp_ms
            for earlier, verdict, outcome in self.verdicts
            if overtook(verdict, outcome) and earlier.offset < event.offset
        ]
        return min(ahead, default=event.timestamp_ms) if state is State.CANCELLED else event.timestamp_ms

    @property
    def is_cancelled_ahead(self) -> bool:
        """Whether a cancel that knows only the id waits for the job, so that it ends before it begins."""
        return any(overtook(verdict, outcome) for _, verdict, outcome in self.verdicts)

    @property
    def state(self) -> State | None:
        """The state the verdicts that hold have led to; None when there was none."""
        states = [
            outcome.state
            for _, verdict, outcome in self.verdicts
            if outcome.state is not None and not overtook(verdict, outcome)
        ]
        if not states:
            return State.CANCELLED if self.is_cancelled_ahead else None
        return states[-1]

    @property
    def claims(self) -> dict[int, tuple[FoldedEvent, Claimed]]:
        """The claims that hold, by dispatch."""
        return {
            verdict.n: (event, verdict) for event, verdict, _ in self.verdicts if isinstance(verdict, Claimed)
        }

    @property
    def closures(self) -> dict[int, tuple[FoldedEvent, Closure]]:
        """The first closures that hold, by dispatch; a late success is not among them."""
        return {
            verdict.n: (event, verdict)
            for event, verdict, outcome in self.verdicts
            if isinstance(verdict, Succeeded | Failed | Lost | Released) and not outcome.late
        }


def overtook(verdict: Verdict, outcome: Outcome) -> bool:
    """Whether this is a cancel by id alone of a job the fold does not know (not yet, or not any more)."""
    return isinstance(verdict, Cancel) and not verdict.origin and outcome.job is None
