"""What stands outside every retry rule: which failures count, and how much may be tried again. Pure."""

import math
from collections.abc import Callable

import msgspec

from core.dependencies import is_of_dependency
from core.ledger.verdicts import Action, Decided, Failed
from core.retry import CIRCUIT_POLICY
from core.retry_budget import RetryBudgets
from schemas.accepted_job import FailedAttempt
from services.dlq_handler.circuits import budget_keys
from services.dlq_handler.decide import Ended, policy_of

EXCUSED_MAX = 100
"""Failures of a job that do not count: one that is tried as a probe again and again ends at last."""


def is_excused(verdict: Ended, attempt: FailedAttempt, is_open: Callable[[str], bool]) -> bool:
    """Whether a failure does not count against ``max_attempts``: what the job calls is down.

    A job that may be tried once is not tried twice for that.
    """
    if not isinstance(verdict, Failed) or not is_of_dependency(verdict.error_class, verdict.error_type):
        return False
    job = attempt.job
    if job.excused >= EXCUSED_MAX or policy_of(attempt).max_attempts <= 1:
        return False
    return is_open(job.circuit)


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
