"""Why a job is where it is, in words, for every state it can be in. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import assert_never

from core.states import TERMINAL, State
from core.subjects import HeldFor, Subject
from core.wheel import TIER_DELAYS_MS, hop_at
from penstock.cli.circuits import lets_through
from penstock.cli.holds import rate_text
from penstock.cli.times import ms_of, span
from penstock.cli.why_known import Answer, Known, Part
from penstock.cli.why_queue import Row, past_of
from penstock.cli.why_queue_words import expected_part, model_part, place_part, score_part, served_part
from penstock.cli.why_retry_words import delay_part
from schemas.control import CircuitRecord

SHOWN = 5
"""Of a list: enough to see what it is about."""
HELD_GATES = ("pause", "limit", "circuit")


def explain(known: Known) -> Answer:
    """Say why the job is where it is."""
    state = State(known.job["state"])
    match state:
        case State.QUEUED:
            return _parked(known) if known.held_for is not None else _queued(known)
        case State.RUNNING:
            return _running(known)
        case State.RETRYING:
            return _retrying(known)
        case State.WAITING:
            return _waiting(known)
        case State.HELD:
            return Answer(f"it is on hold by decision: {known.job['last_decision'] or 'no reason said'}", [])
        case State.ACCEPTED:
            return _accepted(known)
        case State.SUCCEEDED | State.DEAD | State.CANCELLED | State.EXPIRED | State.SKIPPED | State.REFUSED:
            return _ended(known, state)
        case _:
            assert_never(state)


def _queued(known: Known) -> Answer:
    job, view = known.job, known.queue
    where = f"bucket {job['bucket']} of pool {job['pool']}"
    parts = [part for part in (*_intent(known), score_part(known), model_part(known)) if part.lines]
    if view is None:
        return Answer(f"it is queued in {where}; its place could not be found out", parts)
    parts += [place_part(known, view), served_part(known, view), expected_part(known, view)]
    parts += _history(known)
    if view.paused is not None:
        summary = f"it is queued, and {_named(view.paused)} is paused: it does not start before a resume"
    elif view.served is not None and view.served.slots == 0:
        summary = f"it is queued, and no executor serves pool {job['pool']} now"
    else:
        summary = f"it is queued in {where}, and {_jobs(view.before)} are taken before it"
    return Answer(summary, [part for part in parts if part.lines])


def _accepted(known: Known) -> Answer:
    since = _since(known, "submitted_at")
    lines = ["the next service has not said anything about it; `penstock lag` shows who is behind"]
    if known.job["type"] is None:
        return Answer("somebody spoke of it before it was submitted: nothing is known of it", [])
    if known.job["depends_on"]:
        lines.append("it enters the gates of its workflow next")
    return Answer(f"it was accepted{since} and is on its way", [Part("next", lines), *_intent(known)])


def _waiting(known: Known) -> Answer:
    on = known.job["waiting_on"]
    if on in HELD_GATES:
        return _parked(known)
    words = _GATES.get(on or "")
    if words is None:
        return Answer(f"it waits at gate {on!r}, which this version does not know", _intent(known))
    return words(known)


def _parents(known: Known) -> Answer:
    if known.parents is None:
        return Answer("it waits for the jobs it depends on", _intent(known))
    open_ = [parent for parent in known.parents if State(parent["state"]) not in TERMINAL]
    listed = known.job["depends_on"] if isinstance(known.job["depends_on"], list) else []
    unseen = len(set(listed)) - len(known.parents) if listed else 0
    lines = [f"{parent['job_id']} ({parent['type']}) is {parent['state']}" for parent in open_[:SHOWN]]
    if len(open_) > SHOWN:
        states = Counter(str(parent["state"]) for parent in open_)
        lines.append("all open: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    if unseen > 0:
        lines.append(f"{unseen} of them were not seen yet: nobody has submitted them, or the table is behind")
    failed = [parent for parent in known.parents if parent["state"] in TERMINAL - {State.SUCCEEDED}]
    if failed:
        lines.append(
            f"{len(failed)} ended without success; on_parent_failure is {known.job['on_parent_failure']}"
        )
    if isinstance(known.job["depends_on"], dict):
        group = known.job["depends_on"]
        wanted = "its size is not said yet" if group.get("count") is None else f"{group['count']} jobs"
        lines.append(f"it waits for all of group {group.get('group')!r}: {wanted}, {len(known.parents)} seen")
    total = max(len(set(listed)), len(known.parents))
    return Answer(
        f"it waits for the jobs it depends on: {len(open_) + max(0, unseen)} of {total} are open",
        [Part("parents", lines), *_intent(known)],
    )


def _due(known: Known) -> Answer:
    due = known.job["due_at"] or known.job["run_at"]
    if due is None:
        return Answer("it waits for its time", _intent(known))
    hop = _hop(known, due, known.job["updated_at"] or known.now)
    return Answer(f"it waits for its time, {_clock(due)}, {_ahead(known, due)}", [hop, *_intent(known)])


def _hop(known: Known, due: datetime, entered: datetime) -> Part:
    now = known.now
    hop = hop_at(ms_of(entered), ms_of(due), ms_of(now))
    if hop is None:
        return Part("delay wheel", ["it is due and on its way out; the wheel is late by a quarter second"])
    tier, leaves_ms = hop
    left = span(max(0.0, (leaves_ms - ms_of(now)) / 1000))
    line = f"it stands in the tier of {span(TIER_DELAYS_MS[tier] / 1000)}, and leaves it in about {left}"
    return Part("delay wheel", [f"{line}; never early, late by at most 250ms"])


def _order(known: Known) -> Answer:
    key, name = known.key, known.job["ordering_key"]
    if key is None:
        return Answer(f"it waits for its turn at ordering key {name!r}", _intent(known))
    if key.before is None:
        return Answer(f"its turn at ordering key {name!r} has just come", _intent(known))
    lines = [f"{_jobs(key.before)} wait before it, {len(key.behind)} behind it"]
    if key.blocks:
        lines.append(
            f"{key.holder} is dead and blocks the key: `penstock order release {name}` lets it go on"
        )
    elif key.holder is not None:
        lines.append(
            f"the key is busy with {key.holder}; `penstock why {key.holder}` says why that takes long"
        )
    summary = f"it waits for its turn at ordering key {name!r}: {_nth(key.before + 1)} in line"
    return Answer(summary, [Part("ordering key", lines), *_intent(known)])


def _id(known: Known) -> Answer:
    lines = [
        "the scheduler looks whether its id or idempotency key is known already; `penstock lag` shows it"
    ]
    return Answer("it waits to be told from repeats", [Part("id", lines), *_intent(known)])


_GATES: Mapping[str, Callable[[Known], Answer]] = {
    "parents": _parents,
    "due": _due,
    "order": _order,
    "id": _id,
}


def _parked(known: Known) -> Answer:
    """Held for a pause, a limit or a circuit, in the state waiting or, if it was queued before, queued."""
    if known.held_for is None:
        lines = ["nothing of it is paused, limited or down any more: it is being handed on"]
        return Answer(f"it was held for a {known.job['waiting_on']}", [Part("held", lines), *_intent(known)])
    held_for = HeldFor.parse(known.held_for)
    subject, lines = held_for.subject, []
    if known.held is not None:
        place = "its place among them was not found"
        if known.held.before is not None:
            place = (
                f"it is the {_nth(known.held.before + 1)} of {known.held.in_partition} in its partition, in "
                "the order in which they are handed on"
            )
        lines.append(f"{_jobs(known.held.in_all)} are held for it; {place}")
    if held_for.cause == "pause":
        standing = None if known.orders is None else known.orders.pauses.get(subject)
        if standing is not None:
            since = datetime.fromtimestamp(standing.since_ms / 1000, known.now.tzinfo)
            reason = f": {standing.record.reason}" if standing.record.reason else ""
            lines.append(f"paused {_ahead(known, since)} by {standing.record.by or 'somebody'}{reason}")
        lines.append(f"`penstock resume {subject.scope} {subject.name}` lets it go on")
        summary = f"it is held: {_named(str(subject))} is paused"
    elif (circuit := _circuit(known, subject)) is not None:
        since = datetime.fromtimestamp(circuit.since_ms / 1000, known.now.tzinfo)
        uses = f" (it calls {', '.join(circuit.uses)})" if circuit.uses else ""
        lines += [
            f"{circuit.state}, {_ahead(known, since)}{uses}: {circuit.reason}",
            f"let through is {lets_through(circuit)}",
            f"`penstock circuits close {subject.name}` lets all of it go on at once",
        ]
        summary = f"it is held: the circuit of {subject.name} is {circuit.state}"
    else:
        limit = None if known.orders is None else known.orders.limits.get(subject)
        rate = "" if limit is None else f" of {rate_text(limit.rate_per_s)}"
        if limit is not None and known.held is not None:
            took_s = known.held.in_all / limit.rate_per_s
            lines.append(f"all of them take {span(took_s)} at that rate")
        summary = f"it is held for the rate limit{rate} of {_named(str(subject))}"
    lines.append("it uses up no attempt, can be cancelled, and expires as any other")
    return Answer(summary, [Part("held", lines), *_intent(known)])


def _circuit(known: Known, subject: Subject) -> CircuitRecord | None:
    return None if known.orders is None else known.orders.open_circuit(subject)


def _running(known: Known) -> Answer:
    job = known.job
    host = next(
        (
            f" on {one.heartbeat.host}, pid {one.heartbeat.pid}"
            for one in known.executors or ()
            if one.heartbeat.executor == job["executor_id"]
        ),
        "",
    )
    lines = [f"executor {job['executor_id']}{host}"]
    if job["progress"] is not None:
        lines.append(f"it says {job['progress']:.0%} {job['progress_message'] or ''}".rstrip())
    usual = [past.slot_s for past in past_of(known.recent or ()) if past.type == job["type"]]
    if usual:
        ordered = sorted(usual)
        low, middle, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
        lines.append(
            f"the last {len(usual)} such jobs took {span(middle)}, eight of ten {span(low)} to {span(high)}"
        )
    elif job["predicted_run_s"] is not None:
        lines.append(f"it was predicted to take {span(job['predicted_run_s'])}; none such ended lately")
    if job["timeout_s"] is not None and job["started_at"] is not None:
        left_s = job["timeout_s"] + known.seconds_to(job["started_at"])
        lines.append(f"its attempt is ended after {span(job['timeout_s'])}, in {span(max(0.0, left_s))}")
    if job["cancel_asked_at"] is not None:
        lines.append(f"{job['cancel_by']} asked {_ahead(known, job['cancel_asked_at'])} to cancel it")
    attempt = f", attempt {job['attempt']} of {job['max_attempts']}" if job["attempt"] else ""
    began = job["started_at"]
    since = "" if began is None else f", for {span(max(0.0, -known.seconds_to(began)))} now"
    return Answer(f"it runs{since}{attempt}", [Part("run", lines), *_history(known), *_intent(known)])


def _retrying(known: Known) -> Answer:
    due, last = known.job["due_at"], known.attempts[-1] if known.attempts else None
    parts = [*_history(known)]
    if last is not None:
        parts.append(delay_part(known, last))
        if due is not None and last["decided_at"] is not None and known.seconds_to(due) > 0:
            parts.append(_hop(known, due, last["decided_at"]))
    when = "its next try is under way" if due is None else f"it is tried again {_ahead(known, due)}"
    failed = f"attempt {known.job['attempt']} of {known.job['max_attempts']} did not succeed"
    return Answer(f"{failed}; {when}", [part for part in [*parts, *_intent(known)] if part.lines])


def _ended(known: Known, state: State) -> Answer:
    job = known.job
    at = _since(known, "finished_at")
    error = _error(job)
    lines: list[str] = []
    match state:
        case State.SUCCEEDED:
            summary = f"it succeeded{at}"
            if job["run_s"] is not None:
                lines.append(f"it ran for {span(job['run_s'])}, attempt {job['attempt']}")
        case State.DEAD:
            summary = f"it is dead{at}: {_reason(job)}"
            lines = [f"last error: {error}"] if error else []
            lines.append("`penstock workflow retry` tries jobs of a workflow again")
        case State.CANCELLED:
            said = f": {job['cancel_reason']}" if job["cancel_reason"] else ""
            summary = f"it was cancelled{at} by {job['cancel_by'] or 'somebody'}{said}"
        case State.EXPIRED:
            by = "" if job["expires_at"] is None else f", which was {_clock(job['expires_at'])}"
            summary = f"it expired{at}: it had not started by expires_at{by}"
        case State.SKIPPED:
            summary = f"it was skipped{at}: {_reason(job)}"
            failed = [one for one in known.parents or () if one["state"] in TERMINAL - {State.SUCCEEDED}]
            lines = [f"{one['job_id']} ({one['type']}) is {one['state']}" for one in failed[:SHOWN]]
        case _:
            summary = f"it was refused{at}: {_reason(job)}"
    if job["deadline_at"] is not None and job["finished_at"] is not None:
        late_s = (job["finished_at"] - job["deadline_at"]).total_seconds()
        lines.append(f"its deadline was {'missed by' if late_s > 0 else 'met with'} {span(abs(late_s))}")
    return Answer(summary, [part for part in (Part("end", lines), *_history(known)) if part.lines])


def _history(known: Known) -> list[Part]:
    """Every earlier dispatch in a line."""
    lines = []
    for row in known.attempts:
        if row["outcome"] is None:
            continue
        ran = "" if row["run_s"] is None else f" after {span(row['run_s'])}"
        decided = "" if row["decision"] is None else f"; {row['decision']}: {row['decision_reason']}"
        lines.append(f"#{row['n']} {row['outcome']}{ran} {_error(row)}".rstrip() + decided)
    return [Part("dispatches", lines[-SHOWN:])] if lines else []


def _intent(known: Known) -> list[Part]:
    """Give the times it was asked to keep to."""
    job, lines = known.job, []
    if job["deadline_at"] is not None:
        lines.append(f"deadline {_clock(job['deadline_at'])}, {_ahead(known, job['deadline_at'])}")
    if job["expires_at"] is not None:
        lines.append(f"dropped when not started by {_clock(job['expires_at'])}")
    return [Part("times", lines)] if lines else []


def _error(row: Row) -> str:
    if row["error_class"] is None:
        return ""
    message = (row["error_message"] or "").partition("\n")[0][:120]
    kind = f" {row['error_type']}" if row["error_type"] else ""
    return f"{row['error_class']}{kind}: {message}"


def _reason(job: Row) -> str:
    said = job["last_decision"] or "no reason said"
    return str(said).partition(": ")[2] or str(said)


def _since(known: Known, column: str) -> str:
    at = known.job[column]
    return "" if at is None else f" {_ahead(known, at)}"


def _ahead(known: Known, at: datetime) -> str:
    seconds = known.seconds_to(at)
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"


def _clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S %Z")


def _named(subject: str) -> str:
    return subject.replace("/", " ", 1)


def _jobs(count: int) -> str:
    return f"{count:,} job" if count == 1 else f"{count:,} jobs"


def _nth(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
