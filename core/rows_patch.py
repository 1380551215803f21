"""What one ledger record says about the rows of its job."""

import uuid
from typing import NamedTuple, assert_never

import msgspec

from core.ledger.notes import Accepted, Logged, Note, Progress, Queued, Repeated, Scored, Waiting
from core.ledger.outcome import Outcome
from core.ledger.verdicts import (
    Action,
    Cancel,
    Chosen,
    Claimed,
    Decided,
    Expired,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Refused,
    Released,
    Skipped,
    Succeeded,
    Verdict,
)
from core.retrying.context import named
from core.rows import Folded, Row, Value
from core.rows_storable import storable_json, storable_text
from core.states import TERMINAL, State, progress_rank
from penstock.identity import Origin

_encode = msgspec.json.Encoder().encode
_ACCEPTED = State.ACCEPTED.value
_ACCEPTED_RANK = progress_rank(State.ACCEPTED, 1)
_QUEUED = State.QUEUED.value


class Patches(NamedTuple):
    """Changes to the job's row and to the row of its dispatch ``n``; new log lines by number; more of it."""

    job: Row | None = None
    n: int = 0
    attempt: Row | None = None
    lines: tuple[tuple[int, Row], ...] = ()
    score: Row | None = None
    choice: Row | None = None
    """How what follows the dispatch was chosen."""


def patches(folded: Folded) -> Patches | None:
    """Give what a record changes; None when it changes nothing.

    Verdicts that do not hold change nothing. Of the outcome only its own values are read: its
    ``job`` is the fold's live object and may be further on already.
    """
    event, outcome = folded.event, folded.outcome
    if outcome is None:
        assert isinstance(event, Note)
        return _of_note(folded, event)
    if not outcome.holds:
        return None
    assert isinstance(event, Verdict)
    return _of_verdict(folded, event, outcome)


def _of_note(folded: Folded, event: Note) -> Patches | None:
    match event:
        case Accepted():
            return Patches(_accepted(folded, event))
        case Queued():
            score = None if event.scored is None else _score(event.scored, event.model_version)
            return Patches(_queued(folded, event), event.n, score=score)
        case Waiting():
            return Patches(_waiting(folded, event))
        case Progress():
            return Patches(_progress(folded, event))
        case Logged():
            lines = tuple((line.seq, _line(line.at_ms, line.level, line.message)) for line in event.lines)
            return Patches(n=event.n, lines=lines)
        case Repeated():
            return None
        case _:
            assert_never(event)


def _accepted(folded: Folded, event: Accepted) -> Row:
    origin = Origin.parse(event.origin)
    row: Row = {
        "updated_at": folded.timestamp_ms,
        "state": _ACCEPTED,
        "state_rank": _ACCEPTED_RANK,
        "type": event.type,
        "tenant": event.tenant,
        "pool": event.pool,
        "priority": event.priority,
        "payload": storable_json(bytes(event.payload)),
        "payload_bytes": event.payload_bytes,
        "labels": storable_json(_encode(event.labels)) if event.labels else "{}",
        "timeout_s": event.timeout_s,
        "max_attempts": event.max_attempts,
        "submitted_at": event.submitted_ms,
        "trace_id": event.trace_id,
        "origin_epoch": origin.epoch,
        "origin_partition": origin.partition,
        "origin_offset": origin.offset,
    }
    _add(row, "run_at", event.run_at_ms)
    _add(row, "deadline_at", event.deadline_ms)
    _add(row, "expires_at", event.expires_at_ms)
    _add(row, "idempotency_key", event.idempotency_key)
    _add(row, "workflow_id", event.workflow_id)
    _add(row, "ordering_key", event.ordering_key)
    if event.workflow_id is not None:
        row["depends_on"] = storable_json(_encode(event.depends_on))
        row["on_parent_failure"] = str(event.on_parent_failure)
        _add(row, "job_group", event.group)
    return row


def _queued(folded: Folded, event: Queued) -> Row:
    row: Row = {
        "updated_at": folded.timestamp_ms,
        "state": _QUEUED,
        "state_rank": progress_rank(State.QUEUED, event.n),
        "queued_dispatch": event.n,
        "bucket": event.bucket,
        "head_start_s": event.head_start_s,
        "score_parts": storable_json(_encode(event.score_parts)),
        "model_version": event.model_version,
        "ready_at": event.ready_ms,
        "queued_at": folded.timestamp_ms,
    }
    _add(row, "p_fail", event.p_fail)
    _add(row, "predicted_run_s", event.predicted_run_s)
    return row


def _score(scored: Scored, model: str) -> Row:
    row: Row = {
        "decided_at": scored.at_ms,
        "model": model,
        "features": scored.features,
        "vector": scored.vector.hex(),
    }
    if scored.candidate:
        row["candidate"] = scored.candidate
        _add(row, "log_run", scored.log_run)
        _add(row, "failed", scored.failed)
    if scored.shadow:
        row["shadow"] = scored.shadow
        _add(row, "shadow_log_run", scored.shadow_log_run)
        _add(row, "shadow_failed", scored.shadow_failed)
    if scored.way:
        row["way"] = scored.way
        _add(row, "point", scored.point)
    return row


def _waiting(folded: Folded, event: Waiting) -> Row:
    # Out of the queue there is no way back up the ladder: such a job stays queued, and says what it waits on.
    state = State.QUEUED if event.queued else State.WAITING
    row: Row = {
        "updated_at": folded.timestamp_ms,
        "state": state.value,
        "state_rank": progress_rank(state, event.n),
        "waiting_on": event.on,
    }
    _add(row, "due_at", event.due_ms)
    return row


def _progress(folded: Folded, event: Progress) -> Row:
    row: Row = {
        "updated_at": folded.timestamp_ms,
        "progress_dispatch": event.n,
        "progress": event.fraction,
    }
    if event.message:
        row["progress_message"] = storable_text(event.message)
    return row


def _line(at_ms: int, level: str, message: str) -> Row:
    return {"at": at_ms, "level": storable_text(level), "message": storable_text(message)}


def _of_verdict(folded: Folded, event: Verdict, outcome: Outcome) -> Patches | None:
    job: Row = {"updated_at": folded.timestamp_ms, "verdict_offset": folded.offset}
    if outcome.state is not None:
        job["state"] = str(outcome.state)
        job["state_rank"] = outcome.rank
        if outcome.state in TERMINAL:
            job["finished_at"] = folded.timestamp_ms
    match event:
        case Claimed():
            return _claimed(folded, event, job)
        case Succeeded() | Failed() | Lost() | Released():
            return _closed(folded, event, job)
        case Preempted():
            score = None if event.scored is None else _score(event.scored, event.scored.candidate)
            return Patches(job, event.n, _preempted(folded, event), score=score)
        case Decided():
            return _decided(folded, event, job)
        case Cancel():
            return _cancelled(folded, event, job)
        case Expired() | Skipped() | Refused() | Redriven():
            job["last_decision"] = _why(event)
            return Patches(job)
        case _:
            assert_never(event)


def _claimed(folded: Folded, event: Claimed, job: Row) -> Patches:
    job["dispatch"] = event.n
    job["attempt"] = event.attempt
    job["executor_id"] = event.executor
    # Until the closure says it better, and for good when the dispatch is lost.
    job["started_at"] = folded.timestamp_ms
    job["progress_dispatch"] = event.n
    attempt: Row = {
        "attempt": event.attempt,
        "executor_id": event.executor,
        "claimed_at": folded.timestamp_ms,
        "claim_offset": folded.offset,
    }
    return Patches(job, event.n, attempt)


def _closed(folded: Folded, event: Succeeded | Failed | Lost | Released, job: Row) -> Patches:
    attempt: Row = {"finished_at": folded.timestamp_ms, "closure_offset": folded.offset}
    match event:
        case Succeeded():
            attempt["outcome"] = "succeeded"
            job["result"] = storable_json(bytes(event.result))
            job["dispatch"] = event.n
            job["executor_id"] = event.executor
            _ran(job, attempt, event.started_ms, event.run_s)
        case Failed():
            attempt["outcome"] = "failed"
            attempt["dlq_offset"] = event.dlq_offset
            _ran(job, attempt, event.started_ms, event.run_s)
            error: Row = {
                "error_class": event.error_class,
                "error_type": storable_text(event.error_type),
                "error_message": storable_text(event.message),
            }
            job |= error
            attempt |= error
        case Lost():
            attempt["outcome"] = "lost"
            attempt["dlq_offset"] = event.dlq_offset
            lost: Row = {"error_class": "lost", "error_message": storable_text(event.reason)}
            job |= lost
            attempt |= lost
        case Released():
            attempt["outcome"] = "released"
            attempt["error_message"] = storable_text(event.reason)
        case _:
            assert_never(event)
    return Patches(job, event.n, attempt)


def _ran(job: Row, attempt: Row, started_ms: int, run_s: float) -> None:
    for row in (job, attempt):
        row["started_at"] = started_ms
        row["run_s"] = run_s


def _preempted(folded: Folded, event: Preempted) -> Row:
    return {
        "outcome": "preempted",
        "p_fail": event.p_fail,
        "dlq_offset": event.dlq_offset,
        "finished_at": folded.timestamp_ms,
        "closure_offset": folded.offset,
    }


def _decided(folded: Folded, event: Decided, job: Row) -> Patches:
    reason = storable_text(event.reason)
    job["last_decision"] = f"{event.action.value}: {reason}"
    _add(job, "error_class", event.error_class)
    attempt: Row = {
        "decision": event.action.value,
        "decision_reason": reason,
        "decided_at": folded.timestamp_ms,
        "decision_policy": event.policy,
        "propensity": event.propensity,
    }
    if event.signature is not None:
        job["signature"] = attempt["signature"] = storable_text(event.signature)
    if event.action is not Action.DEAD and event.due_ms is not None:
        job["due_at"] = event.due_ms
        attempt["due_at"] = event.due_ms
    choice = None if event.chosen is None else _choice(folded, event, event.chosen)
    return Patches(job, event.n, attempt, choice=choice)


def _choice(folded: Folded, event: Decided, chosen: Chosen) -> Row:
    row: Row = {
        "decided_at": folded.timestamp_ms,
        "error_class": storable_text(chosen.error_class),
        "action": event.action.value,
        "policy": event.policy,
        "arm": storable_text(chosen.arm),
        "propensity": event.propensity,
    }
    _add(row, "signature", None if event.signature is None else storable_text(event.signature))
    _add(row, "delay_s", chosen.delay_s)
    if chosen.generation:
        row["generation"] = storable_text(chosen.generation)
    if chosen.context:
        row["context"] = storable_json(_encode(named(chosen.context)))
    if chosen.vector:
        row["fingerprint"] = storable_text(chosen.fingerprint)
        row["features"] = chosen.vector.hex()
    if chosen.model:
        row["model"] = storable_text(chosen.model)
    if chosen.shadow:
        row["shadow"] = storable_text(chosen.shadow)
    _add(row, "p_works", chosen.p_works)
    _add(row, "p_shadow", chosen.p_shadow)
    return row


def _cancelled(folded: Folded, event: Cancel, job: Row) -> Patches | None:
    if not _is_canonical(event.job_id):
        # Anybody may write a cancel; an id in another form is the id of no job.
        return None
    job["cancel_asked_at"] = folded.timestamp_ms
    job["cancel_by"] = storable_text(event.by)
    if event.reason:
        job["cancel_reason"] = storable_text(event.reason)
    return Patches(job)


def _why(event: Expired | Skipped | Refused | Redriven) -> str:
    match event:
        case Expired():
            return "expired: not started before expires_at"
        case Skipped():
            return f"skipped: {storable_text(event.reason)}"
        case Refused():
            return f"refused: {storable_text(event.reason)}"
        case Redriven():
            return f"redriven by {storable_text(event.by)}"
        case _:
            assert_never(event)


def _add(row: Row, column: str, value: Value | None) -> None:
    if value is not None:
        row[column] = value


def _is_canonical(job_id: str) -> bool:
    try:
        return str(uuid.UUID(job_id)) == job_id
    except ValueError:
        return False
