"""A job to the bytes of its record, with the checks that need no contract; nothing here does I/O."""

import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Required, TypedDict

import orjson

from penstock.client.errors import InvalidJob
from penstock.identity import job_id_from_key

RECORD_MAX_BYTES = 262_144
"""Largest record the pipeline takes by default, key and headers included."""
DEFAULT_TENANT = "default"

_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_ONLY_WITH_ZONE = ("run_at", "deadline", "expires_at")
_HEADER_FIELDS = frozenset({"traceparent"})


class JobOptions(TypedDict, total=False):
    """Everything about a job beside its type and payload; see the job contract for the limits.

    None means the same as leaving it out.
    """

    tenant: str | None
    job_id: str | uuid.UUID | None
    """Your own id; a repeat of it is the same job."""
    idempotency_key: str | None
    """Submissions with the same (tenant, key) are the same job, so repeating a submit is safe."""
    priority: int | None
    """0 (background) to 9 (critical)."""
    run_at: datetime | str | None
    """Not before; an aware datetime or RFC 3339 text with a zone."""
    deadline: datetime | str | None
    expires_at: datetime | str | None
    timeout_s: float | None
    """Limit of one attempt."""
    max_attempts: int | None
    pool: str | None
    sensitive: Sequence[str] | None
    """JSON pointers into the payload that are masked wherever people look."""
    labels: Mapping[str, str] | None
    traceparent: str | None
    """W3C trace context; travels as a record header."""
    workflow_id: str | None
    depends_on: Sequence[str] | Mapping[str, Any] | None
    """Job ids of the workflow, or ``{"group": NAME, "count": N}``."""
    group: str | None
    """Group of its workflow that it belongs to."""
    on_parent_failure: str | None
    """``skip`` (default), ``run`` or ``wait``."""
    ordering_key: str | None
    """Jobs with the same (tenant, key) run one at a time, in order."""
    on_busy: str | None
    """``wait`` (the default) or ``skip``: what happens while another job of the key has not ended."""


class Job(JobOptions, total=False):
    """One job for ``submit_many``."""

    type: Required[str]
    payload: Any


@dataclass(frozen=True, slots=True)
class EncodedJob:
    """The record of one job, ready to be appended to ``jobs``."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    job_id: str | None
    """Known before sending when the producer names the job; None: made from the origin."""

    @property
    def size_bytes(self) -> int:
        """Of value and headers."""
        return len(self.value) + sum(len(name) + len(content) for name, content in self.headers)


def encode_job(job: Mapping[str, Any], record_max_bytes: int = RECORD_MAX_BYTES) -> EncodedJob:
    """Write a job as its record.

    Checked: it is JSON that keeps its meaning (no NaN, no NUL), times have zones, ids can be ids,
    and the record is not too large. The rest of the contract is the pipeline's to check.

    Raises
    ------
    InvalidJob
        With the field and the remedy.
    """
    members = {
        name: value
        for name, value in job.items()
        if name == "payload" or (value is not None and name not in _HEADER_FIELDS)
    }
    _check_times(members)
    job_id = _named_id(members)
    value = _dump(members)
    traceparent = job.get("traceparent")
    headers = () if traceparent is None else (("traceparent", str(traceparent).encode()),)
    encoded = EncodedJob(value, headers, job_id)
    if encoded.size_bytes > record_max_bytes:
        raise InvalidJob(
            f"the record would have {encoded.size_bytes} bytes, {record_max_bytes} are allowed: store the "
            "data elsewhere and send its address in the payload"
        )
    return encoded


def _check_times(members: Mapping[str, Any]) -> None:
    for name in _ONLY_WITH_ZONE:
        time = members.get(name)
        if isinstance(time, datetime) and time.tzinfo is None:
            raise InvalidJob(f"`{name}` has no zone: pass an aware datetime, such as datetime.now(UTC)")


def _named_id(members: dict[str, Any]) -> str | None:
    """Give the id the producer determines, and write a given one in its canonical form."""
    given, key = members.get("job_id"), members.get("idempotency_key")
    if given is not None and key is not None:
        raise InvalidJob(
            "`job_id` and `idempotency_key` are given together: send `idempotency_key` to make repeats "
            "safe, or `job_id` to choose the id"
        )
    if given is not None:
        members["job_id"] = canonical_id(given)
        return str(members["job_id"])
    if key is not None:
        return job_id_from_key(str(members.get("tenant", DEFAULT_TENANT)), str(key))
    return None


def canonical_id(job_id: str | uuid.UUID) -> str:
    """Give an id as lower-case hyphenated text.

    Raises
    ------
    InvalidJob
        It is not a UUID.
    """
    try:
        return str(uuid.UUID(str(job_id)))
    except ValueError:
        raise InvalidJob(f"`{job_id}` is not a job id: ids are UUIDs such as {uuid.UUID(int=0)}") from None


def _dump(members: dict[str, Any]) -> bytes:
    try:
        raw = orjson.dumps(members)
    except TypeError as error:
        raise InvalidJob(f"the job is not JSON: {error}; send dicts, lists, strings and numbers") from error
    # orjson writes NaN and infinities as null, so only a document with a null needs the walk.
    if b"null" in raw:
        _refuse_nan(members, "")
    if b"\\u0000" in raw and _NUL_ESCAPE.search(raw):
        raise InvalidJob("a string holds a NUL character, which Postgres cannot store: remove it")
    return raw


def _refuse_nan(value: object, place: str) -> None:
    match value:
        case float() if not math.isfinite(value):
            raise InvalidJob(f"`{place}` is {value}, which JSON does not know: send null or a string")
        case dict():
            for name, item in value.items():
                _refuse_nan(item, f"{place}.{name}" if place else str(name))
        case list() | tuple():
            for index, item in enumerate(value):
                _refuse_nan(item, f"{place}.{index}")
        case _:
            return
