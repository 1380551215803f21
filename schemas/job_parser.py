"""Bytes of one record to a job as submitted, or the reason why not; never an exception."""

import difflib
from typing import NamedTuple

import msgspec
import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.job import SubmittedJob
from schemas.rejection import Reason, Rejection, shorten
from schemas.strict_json import parse_object

FIELDS = tuple(SubmittedJob.model_fields)

_NAME_MAX_CHARS = 64
"""Longest name that is compared with the known ones; the comparison is quadratic in the length."""
_TIME = "write RFC 3339 with a zone, such as 2030-01-31T08:00:00Z or 2030-01-31T09:00:00+01:00"
_REASONS = {
    "missing": Reason.MISSING_FIELD,
    "extra_forbidden": Reason.UNKNOWN_FIELD,
    "contradiction": Reason.CONTRADICTION,
    "time_format": Reason.INVALID_VALUE,
    "time_without_zone": Reason.INVALID_VALUE,
}
_REMEDIES = {
    "type": "use lower-case letters and digits, separated by single '.', '_' or '-', at most 100 characters",
    "job_id": "send a UUID in its hyphenated form, or leave it out and one is made",
    "idempotency_key": "send 1 to 200 characters; hash longer keys",
    "tenant": "send 1 to 100 characters, or leave it out",
    "priority": "send an integer from 0 (background) to 9 (critical), without quotes or decimal point",
    "run_at": _TIME,
    "deadline": _TIME,
    "expires_at": _TIME,
    "timeout_s": "send a number of seconds from 1 to 86400",
    "max_attempts": "send an integer from 1 to 50, without quotes or decimal point",
    "pool": "send the name of a configured pool, or leave it out",
    "workflow_id": "send 1 to 200 characters",
    "depends_on": "send a list of at most 1000 job ids (UUIDs in their hyphenated form), or "
    '{"group": NAME, "count": N} for all jobs of a group',
    "group": "send 1 to 200 characters",
    "on_parent_failure": "send skip, run or wait",
    "ordering_key": "send 1 to 200 characters; hash longer keys",
    "on_busy": "send `wait` or `skip`, or leave it out",
    "sensitive": "send a list of at most 100 RFC 6901 pointers into the payload, such as /card/number",
    "labels": "send at most 20 pairs of strings, keys of 1 to 63 and values of at most 255 characters",
}
_CONTRADICTION_REMEDIES = {
    "job_id": "send one of them: `idempotency_key` to make repeats safe, `job_id` to choose the id",
    "on_busy": "add `ordering_key`, or leave `on_busy` out",
    "depends_on": "send the `workflow_id` of the jobs it depends on, which are others than itself",
    "group": "send the `workflow_id`, and depend on another group than its own",
    "expires_at": "move `expires_at` after `run_at`, or leave one of them out",
    "deadline": "move `deadline` to `run_at` or later, or leave one of them out",
}


class _OnlyPayload(msgspec.Struct):
    payload: msgspec.Raw = msgspec.Raw(b"{}")


_payload_decoder = msgspec.json.Decoder(_OnlyPayload)


class ParsedJob(NamedTuple):
    """A valid job and its bytes.

    ``payload`` is what the producer wrote, byte for byte (a view into the record's value);
    ``canonical`` is the whole record with sorted keys and without white space.
    """

    job: SubmittedJob
    payload: msgspec.Raw
    canonical: bytes


def parse_job(raw: bytes) -> ParsedJob | Rejection:
    """Read the value of a record on ``jobs``; the size is the caller's to check.

    The same bytes always give the same answer. Which pools exist and what is supported is not
    asked here.
    """
    document = parse_object(raw)
    if isinstance(document, Rejection):
        return document
    try:
        job = SubmittedJob.model_validate(document.members)
    except ValidationError as error:
        return _explain(error)
    return ParsedJob(job, _payload_decoder.decode(raw).payload, document.canonical)


def _explain(error: ValidationError) -> Rejection:
    """Report one error: a misspelt name before the field that is missing because of it."""
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "extra_forbidden":
            inside = len(detail["loc"]) > 1
            return _unknown_in_group(_field_name(detail)) if inside else _unknown_field(str(detail["loc"][0]))
    return _explain_detail(details[0])


def _explain_detail(detail: ErrorDetails) -> Rejection:
    kind, message = detail["type"], detail["msg"]
    reason = _reason(kind)
    match reason:
        case Reason.CONTRADICTION:
            field = str(detail["ctx"]["field"])
            return Rejection(reason, message, _CONTRADICTION_REMEDIES[field], field)
        case Reason.MISSING_FIELD:
            field = _field_name(detail)
            return Rejection(reason, f"the field `{field}` is missing", f"add `{field}`", field)
        case _:
            field = _field_name(detail)
            remedy = _REMEDIES.get(str(detail["loc"][0]), "see the job contract")
            return Rejection(reason, _sentence(message), remedy, field, _excerpt(detail["input"]))


def _reason(kind: str) -> Reason:
    if kind in _REASONS:
        return _REASONS[kind]
    return Reason.WRONG_TYPE if kind.endswith("_type") else Reason.INVALID_VALUE


def _field_name(detail: ErrorDetails) -> str:
    # pydantic ends the place of a bad dictionary key with the marker "[key]"; ours look alike.
    return shorten(".".join(str(part) for part in detail["loc"] if not str(part).startswith("[")))


def _sentence(message: str) -> str:
    return shorten(message[:1].lower() + message[1:], 200)


def _excerpt(value: object) -> str:
    return shorten(orjson.dumps(value).decode())


def _unknown_in_group(name: str) -> Rejection:
    return Rejection(Reason.UNKNOWN_FIELD, f"there is no field `{name}`", _REMEDIES["depends_on"], name)


def _unknown_field(name: str) -> Rejection:
    """Name the field, but never its value: what stands in the wrong place may be a secret."""
    near = difflib.get_close_matches(name, FIELDS, n=1) if len(name) <= _NAME_MAX_CHARS else []
    remedy = f"did you mean `{near[0]}`? " if near else ""
    return Rejection(
        Reason.UNKNOWN_FIELD,
        f"there is no field `{shorten(name)}`",
        f"{remedy}Data of your own belongs into `payload` or `labels`",
        shorten(name),
    )
