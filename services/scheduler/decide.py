"""May it run now? What becomes of a job at the gates and of a record that leaves a wheel tier."""

from collections.abc import Callable
from enum import Enum, StrEnum, auto
from typing import NamedTuple, assert_never

import msgspec

from core.gates.ended import ENTERED_KIND, Ended
from core.gates.fold import Boosts, Effect, Refuses, Skips, Waits
from core.gates.fold import Passed as GatePassed
from core.gates.gate import Gate
from core.gates.id_gate import Answer, Body, Passed, Repeat, Submission
from core.ledger import notes
from core.ledger.verdicts import Expired, Redriven, Refused, Skipped
from core.log import NewRecord, Record
from core.states import State
from core.urgency import Urgency
from core.wheel import tier_for
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob, DelayedJob
from schemas.codec import UnreadableRecordError, decode_delayed, ledger_record
from schemas.gate_keys import GateKeys, gates_header
from schemas.routing import delayed_record, fits, onward, too_large
from schemas.topics import RouteMap
from services.scheduler.reject import conflict_record

_NO_ROOM = "where they stand takes more room than the job's record has; depend on a group, or on fewer jobs"
_NULL = msgspec.Raw(b"null")


class Then(StrEnum):
    """What happens to a record of the wheel when it is due."""

    READY = "ready"
    ORDER = "order"
    EXPIRE = "expire"


class OnDead(StrEnum):
    """What a dead job does to its ordering key."""

    RELEASE = "release"
    BLOCK = "block"


class Fate(Enum):
    """What the gates said of one record."""

    PASSED = auto()
    REPEATED = auto()
    CONFLICT = auto()


class Admission(NamedTuple):
    """What follows from one record of ``jobs.gates``."""

    fate: Fate
    records: list[NewRecord]


class Departure(NamedTuple):
    """What follows from one record whose time in a tier is over."""

    record: NewRecord
    late_ms: int | None
    """Broker time passed since it was due; None when it only hops on."""


class _Delayed(msgspec.Struct, frozen=True):
    """A ``DelayedJob`` whose job stays bytes: most hops need no more than the time."""

    due_ms: int
    then: Then
    job: msgspec.Raw


class _Ordered(msgspec.Struct):
    """What says where a job with an ordering key enters."""

    tenant: str
    ordering_key: str


_decode_ordered: Callable[[msgspec.Raw], _Ordered] = msgspec.json.Decoder(_Ordered).decode
_decode: Callable[[bytes], _Delayed] = msgspec.json.Decoder(_Delayed).decode


def submission_of(job: AcceptedJob) -> Submission | None:
    """Give what the id gate needs to know; None when nobody named the job."""
    if not job.supplied_id and job.idempotency_key is None:
        return None
    return Submission(
        job.job_id, job.origin, job.submitted_ms, job.body_hash, job.tenant, job.idempotency_key
    )


def admit(routes: RouteMap, job: AcceptedJob, answer: Answer | None, now_ms: int) -> Admission:
    """Say what follows from a job at the gates, given what the id gate answered.

    A job that passes the id gate is told to the ledger here (``ACCEPTED``) and not by ingest, which
    does not know yet whether it is one.
    """
    match answer:
        case None:
            return Admission(Fate.PASSED, _pass_due_gate(routes, job, now_ms))
        case Passed():
            own = job if job.job_id == answer.job_id else msgspec.structs.replace(job, job_id=answer.job_id)
            return Admission(Fate.PASSED, [*_told(routes, own), *_pass_due_gate(routes, own, now_ms)])
        case Repeat():
            return _repeat(routes, job, answer)
        case _:
            assert_never(answer)


def _told(routes: RouteMap, job: AcceptedJob) -> list[NewRecord]:
    told = ledger_record(routes, accepted_note(job))
    return [told] if fits(told) else []


def _repeat(routes: RouteMap, job: AcceptedJob, repeat: Repeat) -> Admission:
    conflict = repeat.body is Body.DIFFERENT
    note = notes.Repeated(job.origin, repeat.job_id, repeat.first_origin, conflict)
    told = ledger_record(routes, note)
    if conflict:
        return Admission(Fate.CONFLICT, [told, conflict_record(routes, job, repeat)])
    return Admission(Fate.REPEATED, [told])


def _pass_due_gate(routes: RouteMap, job: AcceptedJob, now_ms: int) -> list[NewRecord]:
    return _or_refused(routes, job, _let_on(routes, job, now_ms))


def _or_refused(routes: RouteMap, job: AcceptedJob, records: list[NewRecord]) -> list[NewRecord]:
    """Give what lets the job on, or closes it when no topic takes it: the partition goes on."""
    stuck = next((record for record in records if not fits(record)), None)
    if stuck is None:
        return records
    return [ledger_record(routes, Refused(job.origin, job.job_id, too_large(stuck)))]


def _let_on(routes: RouteMap, job: AcceptedJob, now_ms: int) -> list[NewRecord]:
    records: list[NewRecord] = []
    if job.expires_at_ms is not None:
        # The payload is not needed to say that a job has expired.
        alarm = DelayedJob(job.expires_at_ms, Then.EXPIRE, msgspec.structs.replace(job, payload=_NULL))
        expiry = delayed_record(routes, alarm, now_ms)
        if expiry is None:
            return [_expired_record(routes, job), *_entering_all_the_same(routes, job, now_ms)]
        records.append(expiry)
    return [*records, *onward(routes, job, Gate.ID, now_ms)]


def _entering_all_the_same(routes: RouteMap, job: AcceptedJob, now_ms: int) -> list[NewRecord]:
    """Let a job that is over enter its workflow: others may wait for its group to be whole.

    Should it pass there before its end is known, its dispatch dies at the claim.
    """
    if job.workflow_id is None:
        return []
    return [record for record in onward(routes, job, Gate.ID, now_ms) if fits(record)]


def carried_out(
    routes: RouteMap, gate: Gate, effect: Effect, job: AcceptedJob, now_ms: int
) -> list[NewRecord]:
    """Give the records that do what a gate said of the job that entered it."""
    match effect:
        case GatePassed():
            return _let_pass(routes, gate, effect, job, now_ms)
        case Boosts():
            told = _as_it_goes_on(routes, gate, effect, job, now_ms)
            return _raised(routes, told, gate, effect.inherits, now_ms)
        case Waits():
            return [ledger_record(routes, notes.Waiting(job.origin, job.job_id, on=effect.on, n=job.n))]
        case Skips():
            return [ledger_record(routes, Skipped(job.origin, job.job_id, effect.reason))]
        case Refuses():
            return [ledger_record(routes, Refused(job.origin, job.job_id, effect.reason))]
        case _:
            assert_never(effect)


def _let_pass(
    routes: RouteMap, gate: Gate, passed: GatePassed, job: AcceptedJob, now_ms: int
) -> list[NewRecord]:
    opened = [_reopened_record(routes, gate, passed, job)] if passed.n > job.n else []
    told = _as_it_goes_on(routes, gate, passed, job, now_ms)
    raised = [] if passed.inherits is None else _raised(routes, told, gate, passed.inherits, now_ms)
    return [*opened, *(raised or _or_refused(routes, told, onward(routes, told, gate, now_ms)))]


def _as_it_goes_on(
    routes: RouteMap, gate: Gate, effect: GatePassed | Boosts, job: AcceptedJob, now_ms: int
) -> AcceptedJob:
    """Give the job as the dispatch it goes on as, told of its parents."""
    if effect.n > job.n:
        job = msgspec.structs.replace(job, n=effect.n, attempt=1)
    parents = effect.parents
    if parents is None:
        return job
    told = msgspec.structs.replace(
        job, depends_on=(), parent_results=parents.results, parents_omitted=parents.omitted
    )
    if all(map(fits, onward(routes, told, gate, now_ms))):
        return told
    return msgspec.structs.replace(told, parent_results={}, parents_omitted=_NO_ROOM)


def _raised(routes: RouteMap, job: AcceptedJob, gate: Gate, urgency: Urgency, now_ms: int) -> list[NewRecord]:
    """Let a job on that inherits urgency; nothing when that makes it too large."""
    records = onward(routes, job.inheriting(urgency), gate, now_ms)
    return records if all(map(fits, records)) else []


def _reopened_record(routes: RouteMap, gate: Gate, passed: GatePassed, job: AcceptedJob) -> NewRecord:
    """Open a job again that the gate had ended: its parents have succeeded after all."""
    keys = GateKeys(job.tenant, job.workflow_id, job.ordering_key)
    place = next(place for place in keys.places(routes) if place.gate is gate)
    verdict = Redriven(
        job.origin, job.job_id, passed.n, place.topic, place.partition, passed.offset, f"{gate} gate"
    )
    return ledger_record(routes, verdict, gates_header(keys))


def told_end(ended: Ended, on_dead: OnDead) -> Ended:
    """Say of the end of a gated job what the gates do about it; from then on their logs say so."""
    blocks = ended.state is State.DEAD and on_dead is OnDead.BLOCK
    return msgspec.structs.replace(ended, blocks=True) if blocks else ended


def due_ms_of(record: Record) -> int:
    """Read when a record of the wheel is due, broker time.

    Raises
    ------
    schemas.codec.UnreadableRecordError
        As ``depart``.
    """
    return _read(record).due_ms


def depart(routes: RouteMap, record: Record, now_ms: int) -> Departure:
    """Say where a record goes whose time in its tier is over: the next hop, or what ``then`` says.

    The job is handed on byte for byte; a hop never writes it anew.

    Raises
    ------
    schemas.codec.UnreadableRecordError
        It was not written by this version; the service stops and skips nothing.
    """
    delayed = _read(record)
    remaining_ms = delayed.due_ms - now_ms
    tier = tier_for(remaining_ms)
    if tier is not None:
        hop = NewRecord(routes.delay(tier), record.partition, record.key, record.value, record.headers)
        return Departure(hop, None)
    match delayed.then:
        case Then.READY:
            return Departure(_ready(routes, record, delayed), -remaining_ms)
        case Then.ORDER:
            return Departure(_ordered(routes, record, delayed), -remaining_ms)
        case Then.EXPIRE:
            return Departure(_expired_record(routes, decode_delayed(record).job), -remaining_ms)
        case _:
            assert_never(delayed.then)


def _read(record: Record) -> _Delayed:
    try:
        return _decode(record.value or b"")
    except msgspec.DecodeError as error:
        raise UnreadableRecordError(
            f"{record.topic}/{record.partition}/{record.offset}: {error}; "
            "it was written by another version or by something that is not Penstock"
        ) from error


def _ready(routes: RouteMap, record: Record, delayed: _Delayed) -> NewRecord:
    headers = tuple((name, b"READY" if name == "kind" else value) for name, value in record.headers)
    return NewRecord(routes.ready, record.partition, record.key, bytes(delayed.job), headers)


def _ordered(routes: RouteMap, record: Record, delayed: _Delayed) -> NewRecord:
    """Let the job enter the order gate."""
    job = _decode_ordered(delayed.job)
    place = GateKeys(job.tenant, ordering_key=job.ordering_key).places(routes)[0]
    headers = tuple((name, ENTERED_KIND if name == "kind" else value) for name, value in record.headers)
    return NewRecord(place.topic, place.partition, record.key, bytes(delayed.job), headers)


def _expired_record(routes: RouteMap, job: AcceptedJob) -> NewRecord:
    """Make the verdict; the fold refuses it for a job that was ever claimed or has ended."""
    return ledger_record(routes, Expired(job.origin, job.job_id))
