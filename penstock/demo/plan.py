"""What a demo submits and when, and how a planned job becomes the bytes of a record. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

import orjson

from core.log import Headers
from penstock.identity import Origin, job_id_from_key, job_id_from_origin

RUN_LABEL = "demo_run"
NUMBER_LABEL = "demo_number"
"""Labels of every job, so that the table can be asked for one run."""
RUN_HEADER = "demo-run"
SUBMISSION_HEADER = "demo-submission"
"""Headers of every record, malformed ones too, so that a run finds what it sent without parsing."""


class Ending(StrEnum):
    """How a job must end when nothing but its own work fails it."""

    SUCCEEDED = "succeeded"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job to submit.

    Attributes
    ----------
    number
        Names the job within the run; a repeat carries the number of the job it repeats.
    at_s
        Arrival, seconds after the run's start.
    work
        The payload without ``effects_file``, which is the run's.
    run_in_s
        ``run_at`` as seconds after submission; None runs as soon as possible. Not together with
        ``keyed``: a repeat must have the same body.
    keyed
        Carries an idempotency key made from run and number.
    """

    number: int
    at_s: float
    type: str
    tenant: str
    work: dict[str, object]
    ending: Ending
    priority: int = 5
    timeout_s: int = 300
    max_attempts: int = 5
    run_in_s: float | None = None
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class PlannedRepeat:
    """The same record again: same key, same body, and the same job."""

    at_s: float
    of: PlannedJob


@dataclass(frozen=True, slots=True)
class PlannedMalformed:
    """Bytes that are no job and must come out in ``jobs.rejected``."""

    at_s: float
    value: bytes | None


Submission = PlannedJob | PlannedRepeat | PlannedMalformed


@dataclass(frozen=True)
class Plan:
    """All submissions in order of arrival.

    Attributes
    ----------
    types
        Task types that ``penstock.demo.tasks`` does not have and the run must declare.
    notes
        What a person should know of how the plan was made, one sentence each.
    """

    submissions: Sequence[Submission]
    types: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def jobs(self) -> list[PlannedJob]:
        """The jobs, without repeats and malformed records."""
        return [item for item in self.submissions if isinstance(item, PlannedJob)]


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What makes the records of one run its own.

    Attributes
    ----------
    effects_file
        Absolute path of the file into which the tasks write what they did.
    """

    run_id: str
    effects_file: str

    def key_of(self, job: PlannedJob) -> str:
        """Give the idempotency key of a keyed job."""
        return f"{self.run_id}-{job.number}"


def record_value(submission: Submission, run: RunIdentity, now: datetime) -> bytes | None:
    """Give the value of the record on topic ``jobs``; equal bytes for a keyed job and its repeat."""
    match submission:
        case PlannedMalformed():
            return submission.value
        case PlannedRepeat():
            return _body(submission.of, run, now)
        case PlannedJob():
            return _body(submission, run, now)
        case _:
            assert_never(submission)


def _body(job: PlannedJob, run: RunIdentity, now: datetime) -> bytes:
    body: dict[str, object] = {
        "type": job.type,
        "tenant": job.tenant,
        "payload": job.work | {"effects_file": run.effects_file},
        "priority": job.priority,
        "timeout_s": job.timeout_s,
        "max_attempts": job.max_attempts,
        "labels": {RUN_LABEL: run.run_id, NUMBER_LABEL: str(job.number)},
    }
    if job.keyed:
        body["idempotency_key"] = run.key_of(job)
    if job.run_in_s is not None:
        body["run_at"] = (now + timedelta(seconds=job.run_in_s)).isoformat()
    return orjson.dumps(body)


def record_headers(index: int, run: RunIdentity) -> Headers:
    """Give the headers that name the run and the submission's place in the plan."""
    return ((RUN_HEADER, run.run_id.encode()), (SUBMISSION_HEADER, str(index).encode()))


def job_id_of(
    submission: PlannedJob | PlannedRepeat, run: RunIdentity, origin: Origin, timestamp_ms: int
) -> str:
    """Give the id the pipeline must give to a record at this origin."""
    job = submission.of if isinstance(submission, PlannedRepeat) else submission
    if job.keyed:
        return job_id_from_key(job.tenant, run.key_of(job))
    return job_id_from_origin(origin, timestamp_ms)
