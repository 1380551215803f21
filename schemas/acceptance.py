"""The note that a job was accepted, made of the job alone."""

import msgspec

from core.ledger.notes import Accepted
from core.masking import mask
from schemas.accepted_job import AcceptedJob


def accepted_note(job: AcceptedJob) -> Accepted:
    """Make the ACCEPTED note of a job; its payload is masked at the ``sensitive`` pointers."""
    payload = bytes(job.payload)
    return Accepted(
        origin=job.origin,
        job_id=job.job_id,
        type=job.type,
        tenant=job.tenant,
        pool=job.pool,
        priority=job.priority,
        submitted_ms=job.submitted_ms,
        timeout_s=job.timeout_s,
        max_attempts=job.max_attempts,
        payload=msgspec.Raw(mask(payload, job.sensitive)) if job.sensitive else job.payload,
        payload_bytes=len(payload),
        trace_id=job.trace_id,
        run_at_ms=job.run_at_ms,
        deadline_ms=job.deadline_ms,
        expires_at_ms=job.expires_at_ms,
        idempotency_key=job.idempotency_key,
        workflow_id=job.workflow_id,
        ordering_key=job.ordering_key,
        labels=job.labels,
        depends_on=job.depends_on,
        group=job.group,
        on_parent_failure=job.on_parent_failure,
    )
