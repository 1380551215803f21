import json

import msgspec
import pytest

from core.learning.events import Status
from core.ledger.verdicts import Failed, Released, Succeeded
from penstock.worker.frames import JobOutcome, RetryPolicy, TaskPolicy
from schemas.accepted_job import AcceptedJob
from services.executor.decide import LOST_WITH_OTHERS, Verdict, blame_lease, close, end_of, may_start
from services.executor.start import timeout_s

JOB = AcceptedJob(
    origin="e:0:7",
    job_id="01234567-89ab-7def-8123-456789abcdef",
    type="card.charge",
    tenant="default",
    pool="default",
    payload=msgspec.Raw(b'{"card":"4111-1111","to":"x"}'),
    priority=5,
    submitted_ms=1,
    timeout_s=300,
    max_attempts=5,
    body_hash="0" * 16,
    trace_id="0" * 32,
    sensitive=("/card",),
    n=3,
    attempt=2,
)
POLICY = TaskPolicy("card.charge", None, 4, RetryPolicy(2.0, 60.0, 2.0), [], None)


def closing(outcome: JobOutcome):  # type: ignore[no-untyped-def]
    return close(JOB, outcome, POLICY, executor="x:1", started_ms=5, now_ms=9)


@pytest.mark.parametrize(
    ("holds", "lease_holds", "age_s", "expected"),
    [
        (True, True, 0.1, Verdict.START),
        (False, True, 0.1, Verdict.HAND_BACK),
        (True, False, 0.1, Verdict.HAND_BACK),
        (True, True, 15.0, Verdict.HAND_BACK),
    ],
)
def test_a_claim_starts_only_if_it_holds_is_leased_and_fresh(
    holds: bool, lease_holds: bool, age_s: float, expected: Verdict
) -> None:
    assert may_start(holds=holds, lease_holds=lease_holds, claim_age_s=age_s, lease_s=45.0) is expected


def test_a_success_carries_its_result_without_the_jobs_secrets() -> None:
    ended = closing(JobOutcome("k", True, 0.25, result=b'{"charged":"4111-1111"}'))
    assert isinstance(ended.verdict, Succeeded)
    assert (ended.verdict.n, ended.verdict.executor, ended.verdict.run_s) == (3, "x:1", 0.25)
    assert json.loads(bytes(ended.verdict.result)) == {"charged": "***"}
    assert ended.failed is None


def test_a_result_that_no_record_can_carry_is_a_permanent_failure() -> None:
    """Masks may be longer than the numbers they hide."""
    job = msgspec.structs.replace(JOB, payload=msgspec.Raw(b'{"card":7}'))
    result = b"[" + b",".join([b"7"] * 200_000) + b"]"
    outcome = JobOutcome("k", True, 0.25, result=result)
    ended = close(job, outcome, POLICY, executor="x:1", started_ms=5, now_ms=9)
    assert isinstance(ended.verdict, Failed)
    assert (ended.verdict.error_class, ended.verdict.error_type) == ("permanent", "ResultTooLarge")
    assert ended.failed is not None


def test_a_failure_goes_to_the_dlq_with_its_policy_and_without_secrets() -> None:
    ended = closing(
        JobOutcome(
            "k",
            False,
            1.0,
            error_class="overload",
            error_type="Busy",
            message="card 4111-1111 refused",
            traceback="at 4111-1111",
            retry_after_s=7.0,
            log_tail=["trying 4111-1111"],
        )
    )
    assert isinstance(ended.verdict, Failed)
    assert (ended.verdict.error_class, ended.verdict.retry_after_s) == ("overload", 7.0)
    failed = ended.failed
    assert failed is not None
    assert "4111" not in msgspec.json.encode((failed.message, failed.traceback, failed.log_tail)).decode()
    assert (failed.retry_base_s, failed.retry_cap_s, failed.retry_factor) == (2.0, 60.0, 2.0)
    assert failed.task_max_attempts == 4
    assert bytes(failed.job.payload) == bytes(JOB.payload)


def test_collateral_is_handed_back_and_burns_no_attempt() -> None:
    ended = closing(JobOutcome("k", False, 1.0, error_type="WorkerKilled", collateral=True))
    assert isinstance(ended.verdict, Released)
    assert ended.failed is None


def test_a_death_shared_with_others_proves_nothing_against_this_job() -> None:
    alone = closing(JobOutcome("k", False, 1.0, error_class="lost", error_type="WorkerDied", cohort=1))
    shared = closing(JobOutcome("k", False, 1.0, error_class="lost", error_type="WorkerDied", cohort=9))
    assert (alone.verdict.error_type, shared.verdict.error_type) == ("WorkerDied", LOST_WITH_OTHERS)


def test_a_job_its_worker_was_killed_for_keeps_its_own_error_whoever_was_in_it() -> None:
    late = closing(JobOutcome("k", False, 1.0, error_class="timeout", error_type="TaskTimeout", cohort=9))
    assert isinstance(late.verdict, Failed)
    assert late.verdict.error_type == "TaskTimeout"


def test_the_shorter_of_the_jobs_and_the_tasks_timeout_holds() -> None:
    assert timeout_s(300, None) == 300
    assert timeout_s(300, msgspec.structs.replace(POLICY, timeout_s=30.0)) == 30
    assert timeout_s(10, msgspec.structs.replace(POLICY, timeout_s=30.0)) == 10


def test_a_worker_that_ended_with_the_lease_is_nobodys_fault() -> None:
    died = JobOutcome("k", False, 1.0, error_class="lost", error_type="WorkerDied", cohort=1)

    assert isinstance(closing(blame_lease(died, lease_holds=False)).verdict, Released)
    assert isinstance(closing(blame_lease(died, lease_holds=True)).verdict, Failed)


@pytest.mark.parametrize(
    "outcome",
    [
        JobOutcome("k", True, 1.0, result=b"1"),
        JobOutcome("k", False, 1.0, error_class="permanent", error_type="PermanentError"),
    ],
)
def test_what_a_handler_did_itself_counts_also_without_a_lease(outcome: JobOutcome) -> None:
    assert blame_lease(outcome, lease_holds=False) is outcome


@pytest.mark.parametrize(
    ("outcome", "cancel_sent", "expected"),
    [
        (JobOutcome("k", True, 0.25, result=b"null"), False, (Status.OK, 250)),
        (JobOutcome("k", True, 0.25, result=b"null"), True, (Status.OK, 250)),
        (JobOutcome("k", False, 3.0, error_class="timeout"), False, (Status.FAILED, 3000)),
        (JobOutcome("k", False, 0.1, error_class="transient"), True, (Status.CANCELLED, 100)),
        (JobOutcome("k", False, 0.1, error_class="lost", collateral=True), False, None),
    ],
)
def test_learning_takes_how_an_attempt_ended_unless_it_was_handed_back(
    outcome: JobOutcome, cancel_sent: bool, expected: tuple[Status, int] | None
) -> None:
    assert end_of(outcome, closing(outcome), cancel_sent=cancel_sent) == expected


@pytest.mark.parametrize("unclassified", [True, False])
def test_whether_an_error_says_something_about_itself_is_passed_on(unclassified: bool) -> None:
    outcome = JobOutcome("k", False, 0.1, error_class="transient", error_type="E", unclassified=unclassified)
    failed = closing(outcome).failed
    assert failed is not None
    assert failed.unclassified is unclassified
