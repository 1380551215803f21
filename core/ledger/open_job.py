"""What the fold remembers of a job between its first claim and its end."""

from enum import Enum

import msgspec

from core.ledger.verdicts import Claimed, Closure, Preempted


class Phase(Enum):
    """Where an open job stands."""

    UNCLAIMED = "unclaimed"
    """Dispatch ``n`` may be claimed."""
    CLAIMED = "claimed"
    """Dispatch ``n`` is held by an executor."""
    CLOSED = "closed"
    """Dispatch ``n`` ended without success and waits for a decision."""
    HELD = "held"
    """A decision put dispatch ``n`` on hold; one more decision follows."""


class OpenJob(msgspec.Struct):
    """A job that is neither untouched nor finished; mutable, owned by the fold alone."""

    job_id: str
    n: int = 1
    phase: Phase = Phase.UNCLAIMED
    claim: Claimed | None = None
    """The latest claim that held; of the running dispatch when the phase is CLAIMED."""
    claim_ledger_offset: int = -1
    claim_timestamp_ms: int = 0
    closure: Closure | None = None
    """The latest closure that held."""
    preempted: Preempted | None = None
    """The latest pre-emption that held; says where the diverted job can be read."""
    late_success_n: int = 0
    """A SUCCEEDED of this dispatch still ends the job (it was lost or released, and its
    successor is unclaimed); 0 when there is none."""
    due_ms: int = 0
    """Broker time before which dispatch ``n`` may not start."""
    cancel_asked: bool = False
    failures: int = 0
    """Closures that count against ``max_attempts``."""
    losses: int = 0
    worker_deaths: int = 0

    @property
    def attempt(self) -> int:
        """The attempt number of the current or next dispatch, from 1."""
        return self.failures + 1
