"""Refuse a repeat whose body is another: what ``jobs.rejected`` says of it."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

from core.gates.id_gate import Repeat
from core.log import NewRecord
from penstock.identity import Origin
from schemas.accepted_job import AcceptedJob
from schemas.codec import encode
from schemas.rejected import ORIGINAL_MAX_BYTES, RejectedRecord
from schemas.rejection import Reason, shorten
from schemas.topics import RouteMap

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def conflict_record(routes: RouteMap, job: AcceptedJob, repeat: Repeat) -> NewRecord:
    """Make the record for ``jobs.rejected``, on the partition of the origin.

    Its value is the job as it was accepted, written out again, fit to be sent under another key (one
    above ``ORIGINAL_MAX_BYTES`` loses its end);
    not the producer's bytes, which stand at the coordinate it names (``cut`` says so). Reading
    them back here would make every job of the wheel wait for it.
    """
    origin = Origin.parse(job.origin)
    value = written_again(job)
    field, own, remedy = _own_name(job)
    rejected = RejectedRecord(
        reason=Reason.KEY_CONFLICT,
        message=f"`{field}` names job {repeat.job_id} (origin {repeat.first_origin}), whose body differs",
        remedy=remedy,
        topic=routes.jobs,
        partition=origin.partition,
        offset=origin.offset,
        timestamp_ms=job.submitted_ms,
        field=field,
        value_excerpt=shorten(encode(own).decode()),
        value_base64=b64encode(value[:ORIGINAL_MAX_BYTES]).decode(),
        value_bytes=len(value),
        cut=True,
        job_id=repeat.job_id,
    )
    headers = (("schema", b"1"), ("kind", b"REJECTED"), ("reason", rejected.reason.encode()))
    return NewRecord(routes.rejected, origin.partition, job.origin.encode(), encode(rejected), headers)


def _own_name(job: AcceptedJob) -> tuple[str, str, str]:
    if job.idempotency_key is not None:
        remedy = "send another job under another key; to repeat the first, send its body unchanged"
        return "idempotency_key", job.idempotency_key, remedy
    return "job_id", job.job_id, "leave `job_id` out or choose a new one; an id names one job for ever"


def written_again(job: AcceptedJob) -> bytes:
    """Write the job as a producer would: the same job, times to the millisecond, defaults written out."""
    members: dict[str, object] = {
        "type": job.type,
        "payload": job.payload,
        "tenant": job.tenant,
        "job_id": job.job_id if job.supplied_id else None,
        "idempotency_key": job.idempotency_key,
        "priority": job.priority,
        "run_at": _rfc3339(job.run_at_ms),
        "deadline": _rfc3339(job.deadline_ms),
        "expires_at": _rfc3339(job.expires_at_ms),
        "timeout_s": job.timeout_s,
        "max_attempts": job.max_attempts,
        "pool": job.pool,
        "sensitive": job.sensitive or None,
        "labels": job.labels or None,
    }
    return encode({name: value for name, value in members.items() if value is not None})


def _rfc3339(time_ms: int | None) -> str | None:
    if time_ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat().replace("+00:00", "Z")
