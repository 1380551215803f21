"""What stands outside every retry rule: which failures count, and how much may be tried again. Pure."""

import math
from collections.abc import Callable

import msgspec

from core.dependencies import is_of_dependency
from core.ledger.verdicts import Action, Decided, Failed
from core.retry import CIRCUIT_POLICY, attempts_allowed
from core.retry_budget import RetryBudgets
from schemas.accepted_job import FailedAttempt
from services.dlq_handler.circuits import budget_keys
from services.dlq_handler.decide import Ended, Undecided, counted_failures, policy_of

TOLD_S = 3.0
"""An outage is told by then: executors speak once a second, and the tenth failure in a row is excused."""
EXCUSED_MAX = 100
"""Failures of a job that do not count: one that is tried as a probe again and again ends at last."""


def may_be_of_dependency(verdict: Ended) -> bool:
    """Whether what the job calls may be at fault, as far as the failure itself says."""
    return isinstance(verdict, Failed) and is_of_dependency(verdict.error_class, verdict.error_type)


def is_excused(verdict: Ended, attempt: FailedAttempt, is_open: Callable[[str], bool]) -> bool:
    """Whether a failure does not count against ``max_attempts``: what the job calls is down.

    A job that may be tried once is not tried twice for that.
    """
    job = attempt.job
    if not may_be_of_dependency(verdict):
        return False
    if job.excused >= EXCUSED_MAX or policy_of(attempt).max_attempts <= 1:
        return False
    return is_open(job.circuit)


def not_before_told(decided: Decided, item: Undecided, attempt: FailedAttempt, now_ms: int) -> Decided:
    """Let a last try wait until it would be known that what the job calls is down.

    Five quick attempts are through before the second report of the executors; the last one is late enough to
    be excused instead (``is_excused``), and an outage that has just begun uses up nobody.
    """
    if decided.action is not Action.RETRY or not may_be_of_dependency(item.verdict):
        return decided
    failures = counted_failures(item, attempt)
    allowed = attempts_allowed(policy_of(attempt), unclassified=attempt.unclassified)
    due_ms = now_ms + math.ceil(TOLD_S * 1000)
    if failures + 1 < allowed or due_ms <= (decided.due_ms or now_ms):
        return decided
    reason = f"{decided.reason}; it is the last, so not before {TOLD_S:g} s: until then an outage is told"
    # The floor belongs to every way of choosing delays, so what was waited is what is to be learned of.
    chosen = decided.chosen and msgspec.structs.replace(decided.chosen, delay_s=TOLD_S)
    return msgspec.structs.replace(decided, due_ms=due_ms, reason=reason, chosen=chosen)


def within_budget(
    decided: Decided, verdict: Ended, attempt: FailedAttempt, budgets: RetryBudgets, now_ms: int
) -> Decided:
    """Let a retry wait until the budgets of its type and of what it calls have room for it.

    One that waits for a circuit is counted there: by the rate that is let through.
    """
    if decided.action is not Action.RETRY or not isinstance(verdict, Failed):
        return decided
    if decided.policy == CIRCUIT_POLICY:
        return decided
    wait_s = budgets.take(budget_keys(attempt.job.type, attempt.uses), now_ms / 1000)
    due_ms = now_ms + math.ceil(wait_s * 1000)
    if due_ms <= (decided.due_ms or now_ms):
        return decided
    reason = f"{decided.reason}; its retry budget is used up, so not before {wait_s:.1f} s"
    # It waits by the budget and not by what was chosen, so nothing can be learned of that choice.
    return msgspec.structs.replace(decided, due_ms=due_ms, reason=reason, chosen=None)
