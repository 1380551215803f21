"""Where a job goes next: through its gates, into the wheel until it is due, to be ready."""

import msgspec

from core.gates.gate import Gate
from core.ledger.notes import Waiting
from core.log import NewRecord, size_bytes
from core.wheel import tier_for
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, DelayedJob, FailedAttempt
from schemas.codec import job_record, ledger_record
from schemas.gates import entered_record
from schemas.topics import APPEND_MAX_BYTES, JOB_MAX_BYTES, RouteMap


def gates_of(job: AcceptedJob, now_ms: int) -> tuple[Gate, ...]:
    """Give the gates a job has, in order, seen at ``now_ms`` (broker time)."""
    gates: list[Gate] = []
    if job.supplied_id or job.idempotency_key is not None:
        gates.append(Gate.ID)
    if job.workflow_id is not None:
        gates.append(Gate.WORKFLOW)
    if (job.run_at_ms is not None and job.run_at_ms > now_ms) or job.expires_at_ms is not None:
        gates.append(Gate.DUE)
    if job.ordering_key is not None:
        gates.append(Gate.ORDER)
    return tuple(gates)


def begins_at_home(job: AcceptedJob, gates: tuple[Gate, ...]) -> bool:
    """Whether a job with these gates goes to ``jobs.gates`` first.

    There the id gate is, and the time at which the job expires begins to be watched, which must not wait for
    other gates.
    """
    return Gate.ID in gates or job.expires_at_ms is not None or gates[:1] == (Gate.DUE,)


def onward(routes: RouteMap, job: AcceptedJob, passed: Gate | None, now_ms: int) -> list[NewRecord]:
    """Say where a job goes that has passed a gate (None: it begins): the next gate it has, or on to run.

    The one place that knows the order of the gates. Used by ingest, by the id gate, by every gate with a log
    of its own; the wheel hands on byte for byte what was put into it here (``then``). Retries pass no gate.
    Watching ``expires_at`` is the business of ``jobs.gates`` (``begins_at_home``).
    """
    place = -1 if passed is None else passed.place
    if job.workflow_id is not None and place < Gate.WORKFLOW.place:
        return [entered_record(routes, Gate.WORKFLOW, job)]
    if job.run_at_ms is not None and place < Gate.DUE.place:
        then = "ready" if job.ordering_key is None else "order"
        delayed = delayed_record(routes, DelayedJob(job.run_at_ms, then, job), now_ms)
        if delayed is not None:
            note = Waiting(job.origin, job.job_id, on="due", n=job.n, due_ms=job.run_at_ms)
            return [ledger_record(routes, note), delayed]
    if job.ordering_key is not None and place < Gate.ORDER.place:
        return [entered_record(routes, Gate.ORDER, job)]
    return [ready_record(routes, job)]


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
