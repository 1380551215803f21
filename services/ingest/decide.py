"""Is it valid? From a record of ``jobs`` to an accepted job or a rejection, without any effect.

Everything is a function of the record and the context, so whoever repeats a hand-over (after a
crash, on another member) repeats it exactly: same id, same place, same bytes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from core.gates.dependencies import DependsOn, OnParentFailure, ParentGroup
from core.gates.gate import Gate
from core.gates.order_gate import OnBusy
from core.ledger import notes
from core.log import UNREADABLE_HEADER, Record
from penstock.identity import Origin, home, job_id_from_key, job_id_from_origin
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob
from schemas.job import DependsOnGroup, SubmittedJob
from schemas.job_parser import ParsedJob, parse_job
from schemas.rejected import RejectedRecord, rejected_record
from schemas.rejection import Reason, Rejection, shorten
from schemas.routing import gates_of
from schemas.times import ceil_ms, floor_ms
from schemas.topics import RECORD_MAX_BYTES
from services.ingest.traceparent import trace_of

_BODY_HASH_BYTES = 8
HEADERS_MAX_BYTES = 2048
"""Names and values of a record's headers that travel with its job, the first ones: what people find a job by
fits, and each hop carries it."""


@dataclass(frozen=True, slots=True)
class IngestContext:
    """What ingest knows beside the record.

    Parameters
    ----------
    partitions
        Partitions of every job topic in this epoch, >= 1.
    pools
        Configured execution pools, at least one.
    record_max_bytes
        Largest record taken in: key, value and headers.
    """

    epoch: str
    partitions: int
    pools: frozenset[str]
    record_max_bytes: int = RECORD_MAX_BYTES

    def __post_init__(self) -> None:
        if self.partitions < 1 or not self.pools or not self.epoch:
            raise ValueError("ingest needs an epoch, at least one partition and at least one pool")


class Accepted(NamedTuple):
    """A valid job, ready to be handed on."""

    job: AcceptedJob
    note: notes.Accepted | None
    """For the ledger; its payload is masked. None for a job that must pass the id gate: whether it
    is a job at all, or the repeat of one, is said there, and the scheduler writes the note then."""
    home: int
    """Partition of everything said about the job."""
    gates: tuple[Gate, ...]
    """Gates it has to pass, in order; empty: it may run now."""


class Rejected(NamedTuple):
    """A record that is no valid job."""

    record: RejectedRecord
    partition: int
    """Partition of ``jobs.rejected``: that of the origin."""
    reason: Reason


Decision = Accepted | Rejected


class BatchDecision(NamedTuple):
    """What becomes of a batch; every record is in exactly one of the two, each in the batch's order."""

    accepted: list[Accepted]
    rejected: list[Rejected]


def decide_batch(records: Iterable[Record], context: IngestContext) -> BatchDecision:
    """Decide about each record on its own; none can hold up the others.

    A defect of our own that shows only on some record must not stop its partition for ever: the
    record is refused as ``internal_error``, with its bytes, and can be sent again.
    """
    batch = BatchDecision([], [])
    for record in records:
        try:
            decision = decide(record, context)
        except Exception as error:
            decision = _reject(record, _defect(error))
        match decision:
            case Accepted():
                batch.accepted.append(decision)
            case Rejected():
                batch.rejected.append(decision)
    return batch


def decide(record: Record, context: IngestContext) -> Decision:
    """Accept the job of one record, or say why it is none."""
    if record.value is None:
        return _reject(record, _null_record(record))
    size = _size(record)
    if size > context.record_max_bytes:
        return _reject(record, _too_large(size, context))
    parsed = parse_job(record.value)
    if isinstance(parsed, Rejection):
        return _reject(record, parsed)
    refusal = _refusal(parsed.job, context)
    if refusal is not None:
        return _reject(record, refusal)
    return _accept(record, parsed, context)


def _size(record: Record) -> int:
    """Bytes of the record (header names: characters); Kafka knows headers without a value."""
    headers = sum(len(name) + len(content or b"") for name, content in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers


def _refusal(job: SubmittedJob, context: IngestContext) -> Rejection | None:
    """Say why a well-formed job cannot be taken by this pipeline as it is configured."""
    if job.pool not in context.pools:
        return Rejection(
            Reason.UNKNOWN_POOL,
            f"there is no pool `{shorten(job.pool)}`",
            f"send one of: {', '.join(sorted(context.pools))}; or add the pool to PENSTOCK_POOLS",
            "pool",
            shorten(job.pool),
        )
    return None


def _accept(record: Record, parsed: ParsedJob, context: IngestContext) -> Accepted:
    submitted = parsed.job
    origin = Origin(context.epoch, record.partition, record.offset)
    job_id = _job_id(submitted, origin, record.timestamp_ms)
    trace_id, traceparent = trace_of(record.header("traceparent"), origin)
    job = AcceptedJob(
        origin=str(origin),
        job_id=job_id,
        type=submitted.type,
        tenant=submitted.tenant,
        pool=submitted.pool,
        payload=parsed.payload,
        priority=submitted.priority,
        submitted_ms=record.timestamp_ms,
        timeout_s=submitted.timeout_s,
        max_attempts=submitted.max_attempts,
        body_hash=hashlib.blake2b(parsed.canonical, digest_size=_BODY_HASH_BYTES).hexdigest(),
        trace_id=trace_id,
        traceparent=traceparent,
        run_at_ms=None if submitted.run_at is None else ceil_ms(submitted.run_at),
        deadline_ms=None if submitted.deadline is None else floor_ms(submitted.deadline),
        expires_at_ms=None if submitted.expires_at is None else floor_ms(submitted.expires_at),
        idempotency_key=submitted.idempotency_key,
        supplied_id=submitted.job_id is not None,
        workflow_id=submitted.workflow_id,
        ordering_key=submitted.ordering_key,
        on_busy=OnBusy(submitted.on_busy),
        depends_on=_parents(submitted),
        group=submitted.group,
        on_parent_failure=OnParentFailure(submitted.on_parent_failure),
        sensitive=submitted.sensitive,
        labels=submitted.labels,
        headers=_kept_headers(record),
    )
    # "Now" is the record's own broker time, so a repeat chooses the same.
    gates = gates_of(job, job.submitted_ms)
    note = None if Gate.ID in gates else accepted_note(job)
    return Accepted(job, note, home(job_id, context.partitions), gates)


def _kept_headers(record: Record) -> dict[str, str]:
    """Give the headers that travel with the job: text, and no more than a few."""
    kept: dict[str, str] = {}
    room = HEADERS_MAX_BYTES
    for name, content in record.headers:
        room -= len(name) + len(content or b"")
        if room < 0:
            break
        if name not in kept and name != "traceparent" and content and _is_plain(name, content):
            kept[name] = content.decode()
    return kept


def _is_plain(name: str, content: bytes) -> bool:
    return name.isprintable() and content.isascii() and content.decode().isprintable()


def _parents(submitted: SubmittedJob) -> DependsOn:
    parents = submitted.depends_on
    return ParentGroup(parents.group, parents.count) if isinstance(parents, DependsOnGroup) else parents


def _job_id(submitted: SubmittedJob, origin: Origin, timestamp_ms: int) -> str:
    if submitted.job_id is not None:
        return submitted.job_id
    if submitted.idempotency_key is not None:
        return job_id_from_key(submitted.tenant, submitted.idempotency_key)
    return job_id_from_origin(origin, timestamp_ms)


def _reject(record: Record, rejection: Rejection) -> Rejected:
    return Rejected(rejected_record(record, rejection), record.partition, rejection.reason)


def _null_record(record: Record) -> Rejection:
    unreadable = record.header(UNREADABLE_HEADER)
    if unreadable is not None:
        return Rejection(
            Reason.UNREADABLE,
            f"the Kafka record cannot be parsed: {unreadable.decode(errors='replace')}",
            "send header names as UTF-8; the original stands in `jobs` at the coordinate",
        )
    return Rejection(
        Reason.NULL_RECORD,
        "the record has no value (a tombstone)",
        "send a JSON object; to stop a job, cancel it: a null record deletes nothing here",
    )


def _too_large(size: int, context: IngestContext) -> Rejection:
    return Rejection(
        Reason.TOO_LARGE,
        f"the record has {size} bytes with key and headers; {context.record_max_bytes} are allowed",
        "store the data elsewhere and send its address in the payload",
    )


def _defect(error: Exception) -> Rejection:
    return Rejection(
        Reason.INTERNAL_ERROR,
        f"Penstock failed on this record ({type(error).__name__}); this is a defect of Penstock",
        "report it with the coordinate; send the record again after an upgrade",
    )
