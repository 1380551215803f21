"""What a service asks after a failure, and what it is answered, whoever answers: without any arithmetic.

A service that goes by the rule loads this and no more; who plans delays loads what that takes.
"""

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

    def about(self, origin: str, tenant: str, type_: str, signature: str) -> None:
        """Learn what failed; the ledger alone does not say it."""

    def age_s(self, origin: str, now_ms: int) -> float:
        """Give the time since the first failure of a job that is remembered, seconds; 0 of others."""
        ...

    def advise(
        self, closed: ClosedDispatch, policy: RetryPolicy, situation: Situation, dispatch: tuple[str, int]
    ) -> tuple[Asked, str]:
        """Say how long to wait, and in which generation that was said."""
        ...


def by_rule(closed: ClosedDispatch, policy: RetryPolicy, draw: float) -> Asked:
    """Ask the rule alone."""
    return Asked(CONTROL, CONTROL, 1.0, failure_delay_s(closed, policy, draw))
