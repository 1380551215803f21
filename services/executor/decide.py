"""What an executor decides without touching anything: may it start, and what an end means. Pure."""

from enum import Enum, auto
from typing import NamedTuple, assert_never

import msgspec

from core.dependencies import Leaning, is_of_dependency, leaning_of
from core.learning.events import Status
from core.ledger.verdicts import Failed, Released, Succeeded
from core.masking import scrub, scrub_json, secrets
from penstock.worker.frames import JobOutcome, TaskPolicy
from schemas.accepted_job import AcceptedJob, FailedAttempt
from schemas.topics import JOB_MAX_BYTES

CLAIM_AGE_SHARE = 3.0
"""A claim older than this fraction (1/3) of the lease is handed back rather than started."""
MESSAGE_MAX_CHARS = 2_000
RESULT_STORED_MAX_BYTES = JOB_MAX_BYTES
"""Largest result a success can carry to the ledger; settings keep what handlers return below it."""
LOST_WITH_OTHERS = "WorkerDiedWithOthers"
"""``error_type`` of a job whose worker died while it ran others: no proof that this job did it."""


class Verdict(Enum):
    """Whether a claimed dispatch may start."""

    START = auto()
    HAND_BACK = auto()


def may_start(*, holds: bool, lease_holds: bool, claim_age_s: float, lease_s: float) -> Verdict:
    """Decide about a claim that was read back, after reading to the end known at that moment.

    Parameters
    ----------
    holds
        The fold, asked again, says that the claim is ours and open.
    lease_holds
        The lease was confirmed continuously since the claim.
    """
    if holds and lease_holds and claim_age_s < lease_s / CLAIM_AGE_SHARE:
        return Verdict.START
    return Verdict.HAND_BACK


def blame_lease(outcome: JobOutcome, *, lease_holds: bool) -> JobOutcome:
    """Take the blame off a job whose worker ended with the executor's lease, as its watchdog makes it.

    A machine that slept, or an executor that was stopped, uses up no attempt and poisons no job.
    """
    if lease_holds or outcome.ok or outcome.error_class != "lost":
        return outcome
    return msgspec.structs.replace(outcome, collateral=True)


class Closing(NamedTuple):
    """How a dispatch ends: the verdict, and for a failure what goes to ``jobs.dlq`` before it."""

    verdict: Succeeded | Failed | Released
    failed: FailedAttempt | None = None


def close(
    job: AcceptedJob,
    outcome: JobOutcome,
    policy: TaskPolicy | None,
    *,
    executor: str,
    started_ms: int,
    now_ms: int,
) -> Closing:
    """Turn the outcome of an attempt into its closure; ``dlq_offset`` of a failure is filled in later.

    What the job calls sensitive is taken out of message, traceback and log lines.
    """
    run_s = round(outcome.run_s, 6)
    if outcome.ok:
        # A handler may have echoed its payload.
        result = scrub_json(bytes(outcome.result or b"null"), _secrets_of(job))
        if len(result) <= RESULT_STORED_MAX_BYTES:
            raw = msgspec.Raw(result)
            return Closing(Succeeded(job.origin, job.job_id, job.n, executor, started_ms, run_s, raw))
        outcome = _unstorable(outcome, len(result))
    if outcome.collateral:
        return Closing(Released(job.origin, job.job_id, job.n, executor, outcome.error_type or "handed back"))
    failed = _failed_attempt(job, outcome, policy, executor, now_ms)
    verdict = Failed(
        job.origin,
        job.job_id,
        job.n,
        executor,
        started_ms,
        run_s,
        failed.error_class,
        failed.error_type,
        failed.message,
        dlq_offset=-1,
        retry_after_s=outcome.retry_after_s,
    )
    return Closing(verdict, failed)


def end_of(outcome: JobOutcome, closing: Closing, *, cancel_sent: bool) -> tuple[Status, int] | None:
    """Say what learning takes from an attempt: how it ended, after how many ms; None: it was handed back."""
    run_ms = round(outcome.run_s * 1000)
    match closing.verdict:
        case Succeeded():
            return Status.OK, run_ms
        case Failed():
            return Status.CANCELLED if cancel_sent else Status.FAILED, run_ms
        case Released():
            return None
        case _:
            assert_never(closing.verdict)


def leaning(job: AcceptedJob, policy: TaskPolicy | None) -> Leaning:
    """Say what a job leans on, by its task and its payload."""
    return leaning_of(job.type, () if policy is None else policy.uses, job.payload)


def call_ended_well(closing: Closing) -> bool | None:
    """Say whether what the attempt called answered; None: its end says nothing of that."""
    match closing.verdict:
        case Succeeded():
            return True
        case Failed() as failed:
            return False if is_of_dependency(failed.error_class, failed.error_type) else None
        case Released():
            return None
        case _:
            assert_never(closing.verdict)


def _unstorable(outcome: JobOutcome, size_bytes: int) -> JobOutcome:
    """Make the failure of an attempt whose result no record can carry; masks may be longer than numbers."""
    message = (
        f"the result has {size_bytes} bytes of JSON once its sensitive values are masked, over the limit of "
        f"{RESULT_STORED_MAX_BYTES}; store it elsewhere and return where it is"
    )
    return JobOutcome(
        outcome.key, False, outcome.run_s, None, "permanent", "ResultTooLarge", message, log_tail=[]
    )


def _failed_attempt(
    job: AcceptedJob, outcome: JobOutcome, policy: TaskPolicy | None, executor: str, now_ms: int
) -> FailedAttempt:
    hidden = _secrets_of(job)
    retry = policy.retry if policy is not None else None
    return FailedAttempt(
        job=job,
        executor=executor,
        error_class=str(outcome.error_class or "transient"),
        error_type=LOST_WITH_OTHERS if _has_unknown_cause(outcome) else outcome.error_type,
        message=scrub(outcome.message, hidden)[:MESSAGE_MAX_CHARS],
        failed_ms=now_ms,
        run_s=round(outcome.run_s, 6),
        traceback=scrub(outcome.traceback, hidden),
        log_tail=tuple(scrub(line, hidden) for line in outcome.log_tail),
        retry_after_s=outcome.retry_after_s,
        retry_base_s=retry.base_s if retry is not None else None,
        retry_cap_s=retry.cap_s if retry is not None else None,
        retry_factor=retry.factor if retry is not None else None,
        task_max_attempts=policy.max_attempts if policy is not None else None,
        unclassified=outcome.unclassified,
        uses=leaning(job, policy).uses,
    )


def _has_unknown_cause(outcome: JobOutcome) -> bool:
    return outcome.cohort > 1 and outcome.error_class == "lost"


def _secrets_of(job: AcceptedJob) -> tuple[str, ...]:
    return secrets(bytes(job.payload), job.sensitive) if job.sensitive else ()
