"""Choose how long to wait after a failure, and remember what came of it. Pure."""

from math import inf, isfinite
from typing import NamedTuple

from core.fault import FaultClass
from core.ledger.verdicts import Action, Chosen, Decided, Failed, Succeeded
from core.retry import ClosedDispatch, RetryDecision, RetryPolicy, attempts_allowed, decide_retry, draw_for
from core.retrying.asked import Adviser, Asked, Attempted, Foretold, Pending, Situation, by_rule
from core.retrying.context import NO_DEADLINE, Context
from schemas.accepted_job import FailedAttempt
from schemas.ledger import FoldedEvent


class Made(NamedTuple):
    """A decision about a failure, and what an evaluation needs of it."""

    decision: RetryDecision
    asked: Asked
    chosen: Chosen


def choose(
    closed: ClosedDispatch,
    policy: RetryPolicy,
    attempt: FailedAttempt,
    now_ms: int,
    dispatch: tuple[str, int],
    signature: str,
    memory: Adviser | None,
) -> Made:
    """Decide about a failed dispatch.

    Whether it is tried again is said by the rule alone. Where it says no, nothing was chosen, and its arm
    stands in the log with probability 1.

    Parameters
    ----------
    memory
        None: the rule says also when.
    """
    fault, draw = str(closed.fault), draw_for(*dispatch)
    situation = _situation(closed, policy, attempt, now_ms, signature, memory)
    asked, generation, foretell = by_rule(closed, policy, draw), "", None
    decided = decide_retry(closed, policy, now_ms, draw, asked.delay_s)
    if memory is not None and decided.action is Action.RETRY:
        asked, generation, foretell = memory.advise(closed, policy, situation, dispatch)
        decided = decide_retry(closed, policy, now_ms, draw, asked.delay_s)
    delay_s = None if decided.due_ms is None else (decided.due_ms - now_ms) / 1000
    context = _context(closed, attempt, situation)
    foretold = Foretold() if foretell is None or delay_s is None else foretell(delay_s)
    return Made(decided, asked, Chosen(asked.arm, fault, delay_s, generation, context, *foretold))


def attempted_of(attempt: FailedAttempt, failures: int, signature: str) -> Attempted:
    """Say what failed, as it is learned from.

    Parameters
    ----------
    failures
        Of the job, this one included.
    """
    job = attempt.job
    return Attempted(
        tenant=job.tenant,
        type=job.type,
        signature=signature,
        failures=failures,
        attempt=job.attempt,
        run_s=(*(past.run_s for past in job.past if past.error_class != FaultClass.LOST), attempt.run_s),
        priority=job.priority,
        payload_bytes=len(bytes(job.payload)),
    )


def _situation(
    closed: ClosedDispatch,
    policy: RetryPolicy,
    attempt: FailedAttempt,
    now_ms: int,
    signature: str,
    memory: Adviser | None,
) -> Situation:
    job = attempt.job
    limits = [limit for limit in (job.deadline_ms, job.expires_at_ms) if limit is not None]
    return Situation(
        # Without a memory, or after a restart, the episode begins with this failure.
        age_s=0.0 if memory is None else memory.age_s(job.origin, now_ms),
        tries_left=max(0, attempts_allowed(policy, unclassified=closed.unclassified) - closed.failures),
        latest_s=max(0.0, min(limits) - now_ms) / 1000 if limits else inf,
        now_ms=now_ms,
        tenant=job.tenant,
        type=job.type,
        signature=signature,
    )


def _context(closed: ClosedDispatch, attempt: FailedAttempt, situation: Situation) -> Context:
    return Context(
        failures=float(closed.failures),
        tries_left=float(situation.tries_left),
        age_s=situation.age_s,
        run_s=attempt.run_s,
        latest_s=situation.latest_s if isfinite(situation.latest_s) else NO_DEADLINE,
        losses=float(closed.losses),
    )


def remember(memory: Adviser, event: FoldedEvent) -> None:
    """Take in what holds of failures, of decisions about them, and of their ends."""
    match event.event:
        case Failed(origin=origin):
            memory.failed(origin, event.timestamp_ms)
        case Succeeded(origin=origin):
            memory.succeeded(origin, event.timestamp_ms)
        case Decided(action=Action.DEAD, origin=origin):
            memory.given_up(origin, event.timestamp_ms)
        case Decided(chosen=Chosen() as chosen, origin=origin, propensity=propensity):
            pending = Pending(chosen.error_class, chosen.arm, propensity, event.timestamp_ms)
            memory.decided(origin, pending)
        case _:
            pass
