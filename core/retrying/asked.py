"""What a service asks after a failure, and what it is answered, whoever answers: without any arithmetic.

A service that goes by the rule loads this and no more; who plans delays loads what that takes.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from core.retry import ClosedDispatch, RetryPolicy, failure_delay_s
from core.retrying.explore import CONTROL


class Situation(NamedTuple):
    """What a failed dispatch is in.

    Attributes
    ----------
    age_s
        Time since the first failure of the job that is remembered, seconds.
    latest_s
        Longest delay that a deadline allows, seconds from now; infinite without one.
    tenant, type, signature
        What failed; an empty text is not known.
    """

    age_s: float
    tries_left: int
    latest_s: float
    now_ms: int
    tenant: str = ""
    type: str = ""
    signature: str = ""


class Asked(NamedTuple):
    """What an arm said."""

    arm: str
    policy: str
    propensity: float
    delay_s: float


class Foretold(NamedTuple):
    """What was said of the next try, as it is logged; see ``core.ledger.verdicts.Chosen``."""

    fingerprint: str = ""
    vector: bytes = b""
    model: str = ""
    p_works: float | None = None
    shadow: str = ""
    p_shadow: float | None = None


class Advice(NamedTuple):
    """How long to wait after a failure.

    Attributes
    ----------
    generation
        In which that was said.
    foretell
        Says what is expected of a try after a delay, seconds.
    """

    asked: Asked
    generation: str
    foretell: Callable[[float], Foretold]


class Attempted(NamedTuple):
    """What is known of a job whose try failed; an empty text is not known.

    Attributes
    ----------
    failures, attempt
        Of the job, the newest included: tries that failed, and tries that count against its limit.
    run_s
        How long the failed tries ran, oldest first, as far as they are known; the newest is the last.
    """

    tenant: str = ""
    type: str = ""
    signature: str = ""
    failures: int = 1
    attempt: int = 1
    run_s: tuple[float, ...] = ()
    priority: int = 5
    payload_bytes: int = 0


class Pending(NamedTuple):
    """A decision that waits for the end of its job."""

    error_class: str
    arm: str
    propensity: float
    at_ms: int


class Adviser(Protocol):
    """Who remembers what came of failures, and says how long to wait after one."""

    def failed(self, origin: str, at_ms: int) -> None:
        """Take in that a dispatch failed."""

    def decided(self, origin: str, pending: Pending) -> None:
        """Take in a decision to retry that holds."""

    def succeeded(self, origin: str, at_ms: int) -> None:
        """Take in that a dispatch succeeded."""

    def given_up(self, origin: str, at_ms: int) -> None:
        """Take in that a job is dead."""

    def about(self, origin: str, attempted: Attempted, now_ms: int) -> None:
        """Learn what failed; the ledger alone does not say it."""

    def age_s(self, origin: str, now_ms: int) -> float:
        """Give the time since the first failure of a job that is remembered, seconds; 0 of others."""
        ...

    def advise(
        self, closed: ClosedDispatch, policy: RetryPolicy, situation: Situation, dispatch: tuple[str, int]
    ) -> Advice:
        """Say how long to wait."""
        ...


def by_rule(closed: ClosedDispatch, policy: RetryPolicy, draw: float) -> Asked:
    """Ask the rule alone."""
    return Asked(CONTROL, CONTROL, 1.0, failure_delay_s(closed, policy, draw))
