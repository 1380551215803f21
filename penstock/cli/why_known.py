"""What ``penstock why`` has found out about one job, and the answer it makes of that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from penstock.cli.executors import Executor
from penstock.cli.why_log import HeldPlace, KeyPlace
from penstock.cli.why_model import Reasons, Scored
from penstock.cli.why_queue import QueueView, Row
from schemas.accepted_job import FailedAttempt
from schemas.standing_orders import StandingOrders


@dataclass
class Known:
    """One job, and what was looked up about it; None: it was not asked for, or could not be found out."""

    job: dict[str, Any]
    """Its row; the queue columns are those of its newest place in the queue."""
    attempts: Sequence[Row]
    now: datetime
    orders: StandingOrders | None = None
    executors: Sequence[Executor] | None = None
    queue: QueueView | None = None
    recent: Sequence[Row] | None = None
    """Jobs that were taken last from its bucket."""
    parents: Sequence[Row] | None = None
    children: Sequence[Row] = ()
    key: KeyPlace | None = None
    scored: Scored | None = None
    reasons: Reasons | None = None
    held_for: str | None = None
    """The pause or limit it is held for, as ``core.subjects.HeldFor`` writes it."""
    held: HeldPlace | None = None
    letter: FailedAttempt | None = None
    """What stands in ``jobs.dlq`` of its last failure."""
    kind: Row | None = None
    """The kind of its last failure, a row of ``signatures``."""
    choice: Row | None = None
    """How the delay after its last dispatch was chosen, of a row of ``retry_decisions``."""
    not_known: list[str] = field(default_factory=list)
    """What could not be looked up, and why."""

    def seconds_to(self, at: datetime) -> float:
        """Give how long it is until then; negative: since then."""
        return (at - self.now).total_seconds()


class Part(NamedTuple):
    """Lines that belong together."""

    title: str
    lines: list[str]


class Answer(NamedTuple):
    """Why a job is where it is."""

    summary: str
    """One sentence."""
    parts: list[Part]
