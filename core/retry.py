"""The retry rule: whether a dispatch that ended without success is tried again, and when."""

import hashlib
import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, assert_never

from core.fault import LAWS, UNCLASSIFIED_LIMIT, FaultClass
from core.ledger.verdicts import Action
from core.wheel import TICK_MS

DEFAULT_BASE_S = 1.0
"""Upper bound of the first wait when the task has no rule of its own, seconds."""
FLOOR_S = TICK_MS / 1000
"""Shortest wait after a failure, seconds: the wheel keeps nothing shorter."""
RETRY_AFTER_MAX_S = 3600.0
"""Longest ``Retry-After`` that is honoured, seconds; a dependency must not park a job for ever."""
RETRY_AFTER_SPREAD = 0.25
"""Share of a ``Retry-After`` that jitter adds on top, so that not all come back at that instant."""
FREE_HAND_BACKS = 3
"""Hand-backs of a job that are answered at once. From then on they wait as after failures: an
executor that cannot start a job must not pass it round as fast as the log goes."""
HAND_BACK_CAP_S = 60.0
GROWTH = 2.0
_EXPONENT_MAX = 60
_LOG_MAX = 600.0


CIRCUIT_POLICY = "circuit"
"""Name of the policy that decides about failures which do not count, because a circuit is open."""


class Cause(Enum):
    """How the dispatch ended."""

    FAILED = auto()
    LOST = auto()
    RELEASED = auto()
    PREEMPTED = auto()


@dataclass(frozen=True, slots=True)
class ClosedDispatch:
    """What the ledger says of a dispatch that waits for a decision, itself included in the counts.

    Attributes
    ----------
    fault
        Class of the failure; LOST for a loss, and without meaning when nothing failed.
    failures
        Closures that count against ``max_attempts``.
    worker_deaths
        Attempts that took their worker process down.
    hand_backs
        Dispatches that ended without having failed or been lost.
    retry_after_s
        What the failing dependency asked for, seconds.
    unclassified
        The error says nothing about itself; see ``attempts_allowed``.
    is_excused
        The failure does not count: what the job calls is down, and its circuit is open. It is among
        ``failures`` all the same.
    """

    cause: Cause
    fault: FaultClass
    failures: int = 0
    losses: int = 0
    worker_deaths: int = 0
    hand_backs: int = 0
    retry_after_s: float | None = None
    unclassified: bool = False
    is_excused: bool = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What the job and its task ask for; None leaves it to the class of the failure.

    Attributes
    ----------
    base_s
        Upper bound of the first wait, seconds.
    cap_s
        Upper bound of any wait, seconds; a longer ``Retry-After`` still counts.
    factor
        Growth of the window from failure to failure, >= 1.
    """

    max_attempts: int
    base_s: float | None = None
    cap_s: float | None = None
    factor: float | None = None


class RetryDecision(NamedTuple):
    """The decision, in the terms of the verdict DECIDED."""

    action: Action
    reason: str
    due_ms: int | None = None
    """For a retry: broker time before which the next dispatch may not start."""
    error_class: FaultClass | None = None
    """For a dead job: what it died of."""


def draw_for(origin: str, n: int) -> float:
    """Give the random draw of one dispatch, in [0, 1): a hash, so that repeats decide alike."""
    digest = hashlib.blake2b(f"{origin}/{n}".encode(), digest_size=8, person=b"retry").digest()
    # 53 bits: more would round up to 1.0.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def decide_retry(
    closed: ClosedDispatch, policy: RetryPolicy, now_ms: int, draw: float, delay_s: float | None = None
) -> RetryDecision:
    """Decide what follows a dispatch that was closed without success, or pre-empted.

    Parameters
    ----------
    now_ms
        Broker time, milliseconds since 1970. A retry is never due earlier.
    draw
        Uniform in [0, 1).
    delay_s
        Wait after a failure that somebody else chose, never below ``FLOOR_S``; None: ``failure_delay_s``.
    """
    match closed.cause:
        case Cause.FAILED:
            chosen_s = failure_delay_s(closed, policy, draw) if delay_s is None else max(FLOOR_S, delay_s)
            return _after_failure(closed, policy, now_ms, chosen_s)
        case Cause.LOST:
            return _after_loss(closed, now_ms, draw)
        case Cause.RELEASED:
            return _after_hand_back(closed, "handed back", now_ms, draw)
        case Cause.PREEMPTED:
            if closed.fault is FaultClass.PERMANENT:
                return _dead("it can never be queued", closed.fault)
            return _after_hand_back(closed, "diverted before it started", now_ms, draw)
        case _:
            assert_never(closed.cause)


def _after_failure(closed: ClosedDispatch, policy: RetryPolicy, now_ms: int, delay_s: float) -> RetryDecision:
    deaths_limit = LAWS[FaultClass.POISON].limit or 0
    if closed.fault is FaultClass.PERMANENT:
        return _dead("a permanent error is not retried", closed.fault)
    if closed.worker_deaths >= deaths_limit:
        return _dead(f"it took its worker process down {closed.worker_deaths} times", FaultClass.POISON)
    if closed.fault is FaultClass.POISON:
        return _dead("it was reported as poison", closed.fault)
    if closed.is_excused:
        circuit = "while the circuit of what it calls is open, so it does not count"
        return _retry(f"it failed ({closed.fault}) {circuit}", now_ms, delay_s)
    allowed = attempts_allowed(policy, unclassified=closed.unclassified)
    if closed.failures >= allowed:
        reason = f"attempt {closed.failures} of {allowed} failed"
        if allowed < policy.max_attempts:
            reason += (
                f"; an error that says nothing about itself has no more: raise TransientError where all "
                f"{policy.max_attempts} are to be made"
            )
        return _dead(reason, closed.fault)
    reason = f"attempt {closed.failures} of {allowed} failed ({closed.fault})"
    return _retry(reason, now_ms, delay_s)


def _after_loss(closed: ClosedDispatch, now_ms: int, draw: float) -> RetryDecision:
    law = LAWS[FaultClass.LOST]
    limit = law.limit or 0
    if closed.losses >= limit:
        return _dead(f"its executor was lost {closed.losses} times", FaultClass.LOST)
    return _retry(f"its executor was lost ({closed.losses} of {limit})", now_ms, draw * law.cap_s)


def _after_hand_back(closed: ClosedDispatch, what: str, now_ms: int, draw: float) -> RetryDecision:
    repeats = closed.hand_backs - FREE_HAND_BACKS
    window_s = _window_s(repeats, DEFAULT_BASE_S, HAND_BACK_CAP_S) if repeats > 0 else 0.0
    return _retry(what, now_ms, draw * window_s)


def failure_delay_s(closed: ClosedDispatch, policy: RetryPolicy, draw: float) -> float:
    """Give the wait after a failure, seconds: full-jitter exponential backoff with a floor.

    Uniform in [0, window), where the window grows (doubles, unless the task says otherwise) from
    failure to failure up to the cap ("Exponential
    Backoff and Jitter", AWS Architecture Blog, 2015). A ``Retry-After`` is never cut short, below
    ``RETRY_AFTER_MAX_S``.
    """
    backoff_s = max(FLOOR_S, draw * window_of(closed, policy).length_s)
    asked_s = closed.retry_after_s
    if asked_s is None or not asked_s > 0:
        return backoff_s
    asked_s = min(asked_s, RETRY_AFTER_MAX_S)
    return max(backoff_s, asked_s + draw * max(DEFAULT_BASE_S, RETRY_AFTER_SPREAD * asked_s))


def attempts_allowed(policy: RetryPolicy, *, unclassified: bool) -> int:
    """Give how many attempts may fail: fewer than asked for after an error that nobody classified."""
    return min(policy.max_attempts, UNCLASSIFIED_LIMIT) if unclassified else policy.max_attempts


class Window(NamedTuple):
    """What the wait after a failure is drawn from, and what that is made of; seconds."""

    length_s: float
    """The wait is uniform below it."""
    base_s: float
    class_factor: float
    """What the class of the failure multiplies the base by."""
    growth: float
    failures: int
    cap_s: float


def window_of(closed: ClosedDispatch, policy: RetryPolicy) -> Window:
    """Give the window of the wait after a failure."""
    law = LAWS[closed.fault]
    base_s = DEFAULT_BASE_S if policy.base_s is None else policy.base_s
    cap_s = law.cap_s if policy.cap_s is None else policy.cap_s
    growth = policy.factor or GROWTH
    length_s = _window_s(closed.failures, base_s * law.base_factor, cap_s, growth)
    return Window(length_s, base_s, law.base_factor, growth, closed.failures, cap_s)


def _window_s(failures: int, base_s: float, cap_s: float, factor: float = GROWTH) -> float:
    exponent = min(max(failures, 1) - 1, _EXPONENT_MAX)
    # Past the cap the exact power does not matter, and a large factor would overflow.
    return min(cap_s, base_s * math.exp(min(exponent * math.log(max(factor, 1.0)), _LOG_MAX)))


def _retry(reason: str, now_ms: int, delay_s: float) -> RetryDecision:
    delay_ms = math.ceil(delay_s * 1000)
    when = f"; again in {delay_ms / 1000:.2f} s" if delay_ms else "; again at once"
    return RetryDecision(Action.RETRY, reason + when, now_ms + delay_ms)


def _dead(reason: str, fault: FaultClass) -> RetryDecision:
    return RetryDecision(Action.DEAD, reason, None, fault)
