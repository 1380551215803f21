"""Why a retry waits as long as it does: the rule of ``core.retry`` with its figures. Pure."""

from collections.abc import Iterable

from core.fault import FaultClass, fault_class
from core.retry import (
    CIRCUIT_POLICY,
    FLOOR_S,
    RETRY_AFTER_MAX_S,
    Cause,
    ClosedDispatch,
    RetryPolicy,
    draw_for,
    failure_delay_s,
    window_of,
)
from penstock.cli.times import span
from penstock.cli.why_known import Known, Part
from penstock.cli.why_queue import Row
from penstock.identity import Origin

ROUNDED_S, APPENDED_S = 0.002, 10.0
"""A delay is rounded up to milliseconds, and counts from the decision, which is appended a little later."""
RULE = "rule"
_BY_RULE = (RULE, CIRCUIT_POLICY)
"""Also of a failure that does not count the rule says when it is tried again."""


def delay_part(known: Known, last: Row) -> Part:
    """Say what decided about the last dispatch, and what its delay is made of."""
    policy = last["decision_policy"] or RULE
    if last["decision"] is None:
        return Part("delay", ["nothing is decided yet; `penstock lag` shows how far the dlq_handler is"])
    lines = [f"decided by {policy}: {last['decision_reason']}", *_kind(known, last)]
    waits = last["due_at"] is not None and last["decided_at"] is not None
    delay_s = (last["due_at"] - last["decided_at"]).total_seconds() if waits else None
    match last["outcome"]:
        case "failed" if policy in _BY_RULE:
            lines += _backoff(known, last, delay_s)
        case "failed":
            lines += _chosen(known, last)
        case "lost":
            lines.append(
                "a loss is not the job's fault: it waits up to a second, which spreads what was lost at once"
            )
        case "preempted" if policy != RULE:
            lines.append(
                "it is expected to fail: held until its type fails less often, or for a bounded time"
            )
        case "released" | "preempted":
            lines.append(
                "it was handed back without having failed: at once the first times, later as after failures"
            )
        case _:
            pass
    return Part("delay", lines)


def _kind(known: Known, last: Row) -> list[str]:
    """Say which failure it was."""
    if last["signature"] is None:
        return []
    said = f"the failure is of kind {last['signature']}"
    kind = known.kind
    if kind is None:
        return [said]
    where = f" at {kind['location']}" if kind["location"] else ""
    return [f"{said}: {kind['error_type'] or 'any error'}{where}: {kind['template'] or '(no message)'}"]


def _backoff(known: Known, last: Row, delay_s: float | None) -> list[str]:
    closed, policy = closed_of(known, last), policy_of(known)
    window = window_of(closed, policy)
    draw = draw_for(_origin(known.job), last["n"])
    asked = "the task's own" if policy.base_s is not None else "the usual"
    factors = f"times {window.class_factor:g} for a {closed.fault} failure"
    if window.failures > 1:
        factors += f", times {window.growth:g} for each of the {window.failures - 1} before"
    base = f"{asked} base of {span(window.base_s)}"
    lines = [f"drawn below {span(window.length_s)}: {base}, {factors}, at most {span(window.cap_s)}"]
    expected_s = failure_delay_s(closed, policy, draw)
    if closed.retry_after_s:
        lines.append(
            f"the other side asked for {span(closed.retry_after_s)} (Retry-After), honoured up to "
            f"{span(RETRY_AFTER_MAX_S)}"
        )
    elif draw * window.length_s < FLOOR_S:
        lines.append(f"the wheel keeps nothing shorter than {span(FLOOR_S)}")
    if known.letter is None:
        lines.append("its record in jobs.dlq was not found: a rule of the task's own is not known here")
    if delay_s is not None and -APPENDED_S <= delay_s - expected_s <= ROUNDED_S:
        lines.append(
            f"the draw of this dispatch is {draw:.2f}, so {span(expected_s)}; a repeat would draw the same"
        )
    elif delay_s is not None:
        lines.append(f"it waits {span(delay_s)}; by these figures it would be {span(expected_s)}")
    return lines


def _chosen(known: Known, last: Row) -> list[str]:
    """Say what chose a delay that is not the rule's, and what the rule would have given."""
    how = {
        "learned": "by what was seen of such failures",
        "explored": "by a draw among few, to learn from it",
    }.get(last["decision_policy"], "otherwise")
    chance = "" if last["propensity"] is None else f", which had a chance of {last['propensity']:.1%}"
    by_rule_s = failure_delay_s(
        closed_of(known, last), policy_of(known), draw_for(_origin(known.job), last["n"])
    )
    said = [f"the delay was chosen {how}{chance}; by the rule it would be {span(by_rule_s)}"]
    choice = known.choice
    if choice is not None and choice["p_works"] is not None:
        who = f"model {choice['model']}" if choice["model"] else "what the dlq_handler saw itself"
        said.append(f"by {who} the next try works with a chance of {choice['p_works']:.0%}")
    return said


def closed_of(known: Known, last: Row) -> ClosedDispatch:
    """Give what the rule knew of the dispatch, as far as the rows say it."""
    letter = known.letter
    excused = 0 if letter is None else letter.job.excused
    return ClosedDispatch(
        Cause.FAILED,
        fault_class(last["error_class"] or FaultClass.TRANSIENT),
        # An attempt's number is one more than the failures before it, those that do not count among them.
        failures=max(0, (last["attempt"] or 1) - excused),
        retry_after_s=None if letter is None else letter.retry_after_s,
    )


def policy_of(known: Known) -> RetryPolicy:
    """Give the rule of the job and its task."""
    letter, most = known.letter, known.job["max_attempts"] or 1
    if letter is None:
        return RetryPolicy(most)
    limits: Iterable[int | None] = (most, letter.task_max_attempts)
    return RetryPolicy(
        min(limit for limit in limits if limit is not None),
        letter.retry_base_s,
        letter.retry_cap_s,
        letter.retry_factor,
    )


def _origin(job: Row) -> str:
    return str(Origin(job["origin_epoch"] or "", job["origin_partition"] or 0, job["origin_offset"] or 0))
