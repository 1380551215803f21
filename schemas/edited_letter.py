"""A dead letter with another payload: what a redrive with an edit runs. Pure."""

import msgspec

from core.log import NewRecord
from core.merge_patch import merged
from penstock.identity import home
from schemas.accepted_job import DeadJob
from schemas.codec import encode, job_record
from schemas.job_parser import parse_job
from schemas.rejection import Rejection
from schemas.routing import fits, too_large
from schemas.topics import RECORD_MAX_BYTES, RouteMap


class CannotEditError(Exception):
    """The patch is none, or what it makes of a payload is no payload; with the remedy."""


def checked_patch(text: bytes) -> bytes:
    """Give a merge patch back that is JSON as strict as a job must be.

    Raises
    ------
    CannotEditError
        It is not.
    """
    _check(b"a.b", text, "the patch")
    return text


def edited(letter: DeadJob, patch: bytes, act: str) -> DeadJob:
    """Make the letter of the edited job: the same job, of the same dispatch, with a patched payload.

    It is checked as ingest checks a record. Traceback and log tail stay with the letter it was made of.

    Raises
    ------
    CannotEditError
        The payload would be none that ingest takes.
    """
    job = letter.last.job
    payload = merged(bytes(job.payload), patch)
    _check(job.type.encode(), payload, f"the payload of job {job.job_id}")
    job = msgspec.structs.replace(job, payload=msgspec.Raw(payload))
    last = msgspec.structs.replace(letter.last, job=job, traceback="", log_tail=())
    return msgspec.structs.replace(letter, last=last, edited=act)


def edited_record(routes: RouteMap, letter: DeadJob) -> NewRecord:
    """Make the record that REDRIVEN names.

    Raises
    ------
    CannotEditError
        It is too large to be carried on.
    """
    job = letter.last.job
    record = job_record(routes.dead, home(job.job_id, routes.partitions), letter, job, b"DEAD")
    if not fits(record):
        raise CannotEditError(too_large(record))
    return record


def _check(type_: bytes, payload: bytes, what: str) -> None:
    record = b'{"type":' + encode(type_.decode()) + b',"payload":' + payload + b"}"
    parsed = parse_job(record)
    if isinstance(parsed, Rejection):
        raise CannotEditError(f"{what}: {parsed.message}; {parsed.remedy}")
    if bytes(parsed.payload).strip() != payload.strip():
        raise CannotEditError(f"{what} is not one JSON value")
    if len(record) > RECORD_MAX_BYTES:
        raise CannotEditError(f"{what} would take {len(record)} bytes, {RECORD_MAX_BYTES} are allowed")
