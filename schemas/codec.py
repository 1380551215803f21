"""Bytes to messages and back. Values are UTF-8 JSON; headers say what they are without parsing."""

from collections.abc import Callable
from typing import TypeVar, get_args

import msgspec

from core.ledger.notes import Accepted, Note
from core.ledger.verdicts import Verdict
from core.log import Headers, NewRecord, Record
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, DeadJob, DelayedJob, FailedAttempt, QueuedJob
from schemas.control import ControlRecord, FoldVersionRecord
from schemas.executors import ExecutorRecord
from schemas.gate_keys import gates_header, keys_of
from schemas.outcomes import OutcomeBatch
from schemas.topics import RouteMap

T = TypeVar("T")
JobMessage = AcceptedJob | QueuedJob | DelayedJob | FailedAttempt | DeadJob
_SCHEMA = b"1"

encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


class UnreadableRecordError(Exception):
    """An internal record that this version cannot read: stop and say so, never skip it."""


def _reader(decoder: msgspec.json.Decoder[T]) -> Callable[[Record], T]:
    def decode(record: Record) -> T:
        try:
            return decoder.decode(record.value or b"")
        except msgspec.DecodeError as error:
            raise UnreadableRecordError(
                f"{record.topic}/{record.partition}/{record.offset}: {error}; "
                "it was written by another version or by something that is not Penstock"
            ) from error

    return decode


_executor_decoder: msgspec.json.Decoder[ExecutorRecord] = msgspec.json.Decoder(ExecutorRecord)
_control_decoder: msgspec.json.Decoder[ControlRecord] = msgspec.json.Decoder(ControlRecord)
_event_decoder: msgspec.json.Decoder[Verdict | Note] = msgspec.json.Decoder(Verdict | Note)
_verdict_decoder: msgspec.json.Decoder[Verdict] = msgspec.json.Decoder(Verdict)

decode_accepted = _reader(msgspec.json.Decoder(AcceptedJob))
decode_queued = _reader(msgspec.json.Decoder(QueuedJob))
decode_delayed = _reader(msgspec.json.Decoder(DelayedJob))
decode_failed = _reader(msgspec.json.Decoder(FailedAttempt))
decode_dead = _reader(msgspec.json.Decoder(DeadJob))
decode_outcome = _reader(msgspec.json.Decoder(OutcomeBatch))
decode_executor = _reader(_executor_decoder)
decode_control = _reader(_control_decoder)
decode_event = _reader(_event_decoder)
decode_fold_version = _reader(msgspec.json.Decoder(FoldVersionRecord))
_decode_verdict = _reader(_verdict_decoder)

VERDICT_KINDS = frozenset(verdict.__struct_config__.tag.encode() for verdict in get_args(Verdict))
"""Values of the header ``kind`` that the fold must see, besides ``FOLD_KIND``."""
NOTE_KINDS = frozenset(note.__struct_config__.tag.encode() for note in get_args(Note))
"""Values of the header ``kind`` this version has a note for. A later version may write others: they inform
and change nothing, so they are passed over. A new kind of verdict needs another fold version."""
FOLD_KIND = b"FOLD"


def decode_if_verdict(record: Record) -> Verdict | None:
    """Read a ledger record if its header says it is a verdict; notes are not even parsed."""
    return _decode_verdict(record) if record.header("kind") in VERDICT_KINDS else None


def decode_if_note(record: Record) -> Note | None:
    """Read a ledger record if its header names a kind of note that this version knows."""
    if record.header("kind") not in NOTE_KINDS:
        return None
    event = decode_event(record)
    assert isinstance(event, Note)
    return event


def decode_executor_if_known(record: Record) -> ExecutorRecord | None:
    """Read a record of ``executors``; None for a kind that only a later version has."""
    try:
        return decode_executor(record)
    except UnreadableRecordError:
        if _kind_of(record.value or b"") in (None, *_EXECUTOR_KINDS):
            raise
        return None


class _Kind(msgspec.Struct):
    kind: str | None = None


_kind_decoder: msgspec.json.Decoder[_Kind] = msgspec.json.Decoder(_Kind)
_EXECUTOR_KINDS = frozenset(one.__struct_config__.tag for one in get_args(ExecutorRecord))


def _kind_of(value: bytes) -> str | None:
    try:
        return _kind_decoder.decode(value).kind
    except msgspec.DecodeError:
        return None


def ledger_record(routes: RouteMap, event: Verdict | Note, more: Headers = ()) -> NewRecord:
    """Make the record that puts ``event`` on the ledger partition of its job's home.

    Parameters
    ----------
    more
        Further headers: ``schemas.gate_keys.gates_header`` for a REDRIVEN, by which its job enters its gates
        again. ACCEPTED has it by itself.
    """
    kind = str(event.__struct_config__.tag).encode()
    if isinstance(event, Accepted):
        more = gates_header(keys_of(event.tenant, event.workflow_id, event.ordering_key))
    return NewRecord(
        routes.ledger,
        home(event.job_id, routes.partitions),
        event.job_id.encode(),
        encode(event),
        (("schema", _SCHEMA), ("kind", kind), ("origin", event.origin.encode()), *more),
    )


def fold_version_record(routes: RouteMap, partition: int, version: int) -> NewRecord:
    """Make the ledger record from which on the rules of ``version`` hold."""
    headers = (("schema", _SCHEMA), ("kind", FOLD_KIND))
    return NewRecord(routes.ledger, partition, None, encode(FoldVersionRecord(version)), headers)


def job_record(topic: str, partition: int, message: JobMessage, job: AcceptedJob, kind: bytes) -> NewRecord:
    """Make a record that carries ``job``, alone or inside ``message``, to ``topic``."""
    headers: Headers = (
        ("schema", _SCHEMA),
        ("kind", kind),
        ("origin", job.origin.encode()),
        ("attempt", b"%d" % job.attempt),
    )
    if job.traceparent:
        headers += (("traceparent", job.traceparent.encode()),)
    return NewRecord(topic, partition, job.job_id.encode(), encode(message), headers)
