"""Events of the ledger as lines for people."""

from datetime import UTC, datetime
from typing import assert_never

from core.ledger import notes, verdicts
from core.ledger.notes import Note
from core.ledger.verdicts import Verdict
from penstock.cli.times import span


def describe(event: Verdict | Note, timestamp_ms: int) -> str:
    """Write what an event says, without its job; one line.

    An event says what somebody appended: whether a verdict holds is for the fold to say.
    """
    match event:
        case (
            notes.Accepted()
            | notes.Waiting()
            | notes.Repeated()
            | notes.Queued()
            | notes.Progress()
            | notes.Logged()
        ):
            return _describe_note(event, timestamp_ms)
        case verdicts.Claimed():
            return f"claimed #{event.n} (attempt {event.attempt}) by {event.executor}"
        case verdicts.Succeeded() | verdicts.Failed() | verdicts.Lost() | verdicts.Released():
            return _describe_closure(event)
        case verdicts.Decided():
            return _describe_decision(event, timestamp_ms)
        case _:
            return _describe_rare(event)


def _describe_note(event: Note, timestamp_ms: int) -> str:
    match event:
        case notes.Accepted():
            return f"accepted {event.type} of {event.tenant}, priority {event.priority}, {event.origin}"
        case notes.Waiting():
            return f"waiting #{event.n} for {event.on}{_due(event.due_ms, timestamp_ms)}"
        case notes.Repeated():
            body = ", and its body differs" if event.conflict else ""
            return f"repeated: {event.origin} names the job of {event.first_origin}{body}"
        case notes.Queued():
            return f"queued #{event.n} in bucket {event.bucket}, head start {event.head_start_s:.0f} s"
        case notes.Progress():
            return f"progress #{event.n} {event.fraction:.0%} {event.message}".rstrip()
        case notes.Logged():
            last = f": {event.lines[-1].message}" if event.lines else ""
            return f"logged #{event.n} {len(event.lines)} lines{last}"
        case _:
            assert_never(event)


def _describe_closure(event: verdicts.Closure) -> str:
    match event:
        case verdicts.Succeeded():
            return f"succeeded #{event.n} after {span(event.run_s)}"
        case verdicts.Failed():
            return (
                f"failed #{event.n} after {span(event.run_s)}: {event.error_class} "
                f"{event.error_type}: {_one_line(event.message)}"
            )
        case verdicts.Lost():
            return f"lost #{event.n} of {event.executor}: {event.reason}"
        case verdicts.Released():
            return f"released #{event.n}: {event.reason}"
        case _:
            assert_never(event)


def _describe_decision(event: verdicts.Decided, timestamp_ms: int) -> str:
    return f"decided #{event.n} {event.action}{_due(event.due_ms, timestamp_ms)}: {event.reason}"


def _describe_rare(
    event: verdicts.Preempted
    | verdicts.Cancel
    | verdicts.Expired
    | verdicts.Skipped
    | verdicts.Refused
    | verdicts.Redriven,
) -> str:
    match event:
        case verdicts.Preempted():
            return f"preempted #{event.n}, predicted to fail with {event.p_fail:.0%}"
        case verdicts.Cancel():
            return f"cancel asked by {event.by} {event.reason}".rstrip()
        case verdicts.Expired():
            return "expired before it started"
        case verdicts.Skipped():
            return f"skipped: {event.reason}"
        case verdicts.Refused():
            return f"refused: {event.reason}"
        case verdicts.Redriven():
            return f"redriven as #{event.n} by {event.by}"
        case _:
            assert_never(event)


def clock(timestamp_ms: int) -> str:
    """Write a broker time as UTC time of day, milliseconds included."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def _due(due_ms: int | None, timestamp_ms: int) -> str:
    return "" if due_ms is None else f" until {clock(due_ms)} (in {span((due_ms - timestamp_ms) / 1000)})"


def _one_line(text: str) -> str:
    return text.partition("\n")[0][:200]
