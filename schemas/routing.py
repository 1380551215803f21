"""Where a job goes next: to be ready, or into the wheel until it is due."""

from core.log import NewRecord
from core.wheel import tier_for
from penstock.identity import home
from schemas.accepted_job import AcceptedJob, DelayedJob
from schemas.codec import job_record
from schemas.topics import RouteMap


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
