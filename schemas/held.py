"""Records of ``jobs.held`` and ``held.marks``."""

import msgspec

from core.held import HeldFold, Stretch
from core.ledger.notes import Waiting
from core.log import NewRecord, Record
from core.subjects import HeldFor
from penstock.identity import home
from schemas.accepted_job import AcceptedJob
from schemas.codec import UnreadableRecordError, encode, job_record
from schemas.topics import RouteMap

HELD_KIND = b"HELD"
HANDED_ON_KIND = b"HANDED_ON"
HELD_FOR_HEADER = "held_for"


class HandedOn(msgspec.Struct, frozen=True):
    """All ``count`` jobs held for this below ``until`` were handed on to ``jobs.ready``."""

    held_for: str
    until: int
    """At most this record's own offset."""
    count: int


class HeldMarks(msgspec.Struct, frozen=True):
    """The fold of one partition of ``jobs.held`` as it was at ``next_offset``."""

    epoch: str
    next_offset: int
    oldest: int
    """Everything below may be trimmed."""
    stretches: dict[str, list[Stretch]]


_decode_handed_on = msgspec.json.Decoder(HandedOn).decode
_decode_marks = msgspec.json.Decoder(HeldMarks).decode


def held_record(routes: RouteMap, job: AcceptedJob, held_for: HeldFor) -> NewRecord:
    """Make the record that holds a dispatch until it is handed on."""
    name = str(held_for)
    held = msgspec.structs.replace(job, held_for=name)
    record = job_record(routes.held, home(job.job_id, routes.partitions), held, held, HELD_KIND)
    return record._replace(headers=(*record.headers, (HELD_FOR_HEADER, name.encode())))


def held_note(job: AcceptedJob, held_for: HeldFor, *, queued: bool, on: str = "") -> Waiting:
    """Make the note that says what a dispatch waits on; ``queued``: it stood in the queue before.

    Parameters
    ----------
    on
        What it waits on when the cause does not say it.
    """
    return Waiting(job.origin, job.job_id, on or str(held_for.cause), n=job.n, queued=queued)


def ready_again(routes: RouteMap, record: Record) -> NewRecord:
    """Make the record that hands a held dispatch on, byte for byte."""
    headers = tuple(
        (name, b"READY" if name == "kind" else value)
        for name, value in record.headers
        if name != HELD_FOR_HEADER
    )
    return NewRecord(routes.ready, record.partition, record.key, record.value, headers)


def handed_on_record(routes: RouteMap, partition: int, handed: HandedOn) -> NewRecord:
    """Make the record that says what was handed on."""
    headers = (("schema", b"1"), ("kind", HANDED_ON_KIND))
    return NewRecord(routes.held, partition, None, encode(handed), headers)


def held_for_of(record: Record) -> str | None:
    """Give what the job of a record of ``jobs.held`` is held for; None when it is no job."""
    if record.header("kind") != HELD_KIND:
        return None
    return (record.header(HELD_FOR_HEADER) or b"").decode()


def fold_held(fold: HeldFold, record: Record) -> None:
    """Fold one record of ``jobs.held``; jobs are not parsed.

    Raises
    ------
    schemas.codec.UnreadableRecordError
        It was not written by this version; the service stops and skips nothing.
    """
    held_for = held_for_of(record)
    if held_for is not None:
        fold.held(record.offset, held_for)
    elif record.header("kind") == HANDED_ON_KIND:
        try:
            handed = _decode_handed_on(record.value or b"")
        except msgspec.DecodeError as error:
            raise _unreadable(record, error) from error
        fold.handed_on(record.offset, handed.held_for, handed.until, handed.count)
    else:
        raise _unreadable(record, ValueError("neither a held job nor the word that some were handed on"))


def marks_record(routes: RouteMap, partition: int, epoch: str, fold: HeldFold) -> NewRecord:
    """Make the record of ``held.marks`` that says how far a fold is."""
    marks = HeldMarks(epoch, fold.next_offset, fold.oldest, fold.image())
    return NewRecord(routes.held_marks, partition, b"held", encode(marks), (("schema", b"1"),))


def marks_of(record: Record) -> HeldMarks:
    """Read a record of ``held.marks``.

    Raises
    ------
    schemas.codec.UnreadableRecordError
        Another version, or something else, writes into the topic.
    """
    try:
        return _decode_marks(record.value or b"")
    except msgspec.DecodeError as error:
        raise _unreadable(record, error) from error


def _unreadable(record: Record, error: Exception) -> UnreadableRecordError:
    return UnreadableRecordError(
        f"{record.topic}/{record.partition}/{record.offset}: {error}; "
        "it was written by another version or by something that is not Penstock"
    )
