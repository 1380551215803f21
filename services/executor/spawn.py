"""Jobs a task added, as records of ``jobs``: checked first, so that none of them is refused out of sight."""

from collections.abc import Iterable

from core.log import Headers, NewRecord
from penstock.identity import home
from penstock.worker.frames import JobOutcome
from schemas.accepted_job import AcceptedJob
from schemas.job_parser import parse_job
from schemas.rejection import Rejection
from schemas.topics import RECORD_MAX_BYTES, RouteMap


class SpawnRefusedError(Exception):
    """A job that was added is no valid job; nothing of the attempt is submitted."""


def spawned_records(routes: RouteMap, parent: AcceptedJob, records: Iterable[bytes]) -> list[NewRecord]:
    """Make the records of ``jobs`` that submit what an attempt added.

    Raises
    ------
    SpawnRefusedError
        With number, field and remedy.
    """
    headers: Headers = (("traceparent", parent.traceparent.encode()),) if parent.traceparent else ()
    return [_record(routes, number, record, headers) for number, record in enumerate(records)]


def _record(routes: RouteMap, number: int, record: bytes, headers: Headers) -> NewRecord:
    if len(record) > RECORD_MAX_BYTES:
        raise SpawnRefusedError(
            f"the added job number {number} has {len(record)} bytes, {RECORD_MAX_BYTES} are allowed: store "
            "the data elsewhere and send its address in the payload"
        )
    parsed = parse_job(record)
    if isinstance(parsed, Rejection):
        field = "" if parsed.field is None else f"field `{parsed.field}`: "
        raise SpawnRefusedError(f"the added job number {number}: {field}{parsed.message}; {parsed.remedy}")
    job = parsed.job
    if job.pool not in routes.pools:
        raise SpawnRefusedError(
            f"the added job number {number}: there is no pool `{job.pool}`; send one of: "
            f"{', '.join(routes.pools)}"
        )
    assert job.job_id is not None
    return NewRecord(routes.jobs, home(job.job_id, routes.partitions), job.job_id.encode(), record, headers)


def refused_outcome(outcome: JobOutcome, error: SpawnRefusedError) -> JobOutcome:
    """Make the failure of an attempt that added what is no job."""
    return JobOutcome(
        outcome.key, False, outcome.run_s, None, "permanent", "SpawnRefused", str(error), log_tail=[]
    )
