"""How soon: from a ready job to its bucket, with the parts of its score. Pure."""

from typing import NamedTuple

from core.buckets import bucket_of
from core.ledger.notes import Queued
from core.priority import PriorityRule, score
from core.run_times import RunTimes
from schemas.accepted_job import AcceptedJob, QueuedJob

MODEL = "rule"


class Placement(NamedTuple):
    """A scored dispatch and the note that says how it came by its score."""

    queued: QueuedJob
    note: Queued


def place(job: AcceptedJob, ready_ms: int, run_times: RunTimes, rule: PriorityRule) -> Placement:
    """Score one ready dispatch; ``ready_ms`` is its append time in ``jobs.ready``."""
    predicted_s = run_times.expected_s(job.type)
    scored = score(
        predicted_run_s=predicted_s,
        priority=job.priority,
        deadline_ms=job.deadline_ms,
        now_ms=ready_ms,
        rule=rule,
    )
    bucket = bucket_of(scored.head_start_s, rule.per_decade_s)
    note = Queued(
        origin=job.origin,
        job_id=job.job_id,
        n=job.n,
        bucket=bucket,
        head_start_s=scored.head_start_s,
        score_parts=scored.parts,
        ready_ms=ready_ms,
        attempt=job.attempt,
        predicted_run_s=round(predicted_s, 4),
        model_version=MODEL,
    )
    return Placement(QueuedJob(job, ready_ms, bucket, scored.head_start_s), note)
