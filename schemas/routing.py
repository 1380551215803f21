"""Where a job goes next: to be ready, or into the wheel until it is due."""

import msgspec

from core.log import NewRecord, size_bytes
from core.wheel import tier_for
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, DelayedJob, FailedAttempt
from schemas.codec import job_record
from schemas.topics import APPEND_MAX_BYTES, JOB_MAX_BYTES, RouteMap


def fits(record: NewRecord) -> bool:
    """Whether a record that carries a job onward leaves room for what may be said of it later."""
    return size_bytes(record) <= JOB_MAX_BYTES


def too_large(record: NewRecord) -> str:
    """Say why a record that does not fit goes nowhere, for the verdict that closes its job."""
    return (
        f"the job takes {size_bytes(record)} bytes in {record.topic}, {JOB_MAX_BYTES} are allowed; "
        "store the data elsewhere and send its address in the payload"
    )


def failed_record(routes: RouteMap, attempt: FailedAttempt, kind: bytes) -> NewRecord:
    """Make the record of ``jobs.dlq`` for an attempt; without traceback and log lines if it must be.

    Always fits a batch when the job came in a record that did (``fits``).
    """
    partition = home(attempt.job.job_id, routes.partitions)
    record = job_record(routes.dlq, partition, attempt, attempt.job, kind)
    if size_bytes(record) <= APPEND_MAX_BYTES:
        return record
    cut = msgspec.structs.replace(attempt, traceback="", log_tail=())
    return job_record(routes.dlq, partition, cut, attempt.job, kind)


def ready_record(routes: RouteMap, job: AcceptedJob) -> NewRecord:
    """Make the record that says dispatch ``job.n`` may run now."""
    return job_record(routes.ready, home(job.job_id, routes.partitions), job, job, b"READY")


def delayed_record(routes: RouteMap, delayed: DelayedJob, now_ms: int) -> NewRecord | None:
    """Make the record of the next hop of the wheel; None when it is due already."""
    tier = tier_for(delayed.due_ms - now_ms)
    if tier is None:
        return None
    partition = home(delayed.job.job_id, routes.partitions)
    return job_record(routes.delay(tier), partition, delayed, delayed.job, b"DELAYED")


def release_record(routes: RouteMap, job: AcceptedJob, due_ms: int, now_ms: int) -> NewRecord:
    """Make the record that lets ``job`` become ready at ``due_ms`` (broker time), never earlier."""
    delayed = delayed_record(routes, DelayedJob(due_ms, "ready", job), now_ms)
    return ready_record(routes, job) if delayed is None else delayed
