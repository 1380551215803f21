"""What is learned from about a failure, and what is logged of a choice."""

import msgspec

from core.fault import FaultClass
from core.retry import Cause, ClosedDispatch, RetryPolicy
from core.retrying.asked import Attempted
from core.retrying.columns import FEATURES, FINGERPRINT
from core.retrying.memory import RetryMemory
from schemas.accepted_job import AcceptedJob, FailedAttempt, PastAttempt
from services.dlq_handler.choose import attempted_of, choose

NOW_MS = 1_700_000_000_000
ORIGIN, JOB_ID = "e:0:7", "00000000-0000-4000-8000-000000000001"
JOB = AcceptedJob(ORIGIN, JOB_ID, "mail", "acme", "default", msgspec.Raw(b'{"a":1}'), 7, 0, 10.0, 5, "0", "0")


def failed(job: AcceptedJob) -> FailedAttempt:
    return FailedAttempt(job, "x", "transient", "Boom", "no", NOW_MS, run_s=0.5)


def past(n: int, error_class: str, run_s: float) -> PastAttempt:
    return PastAttempt(n, "x", error_class, "Boom", "no", NOW_MS - 1000, run_s)


def test_lost_dispatches_have_no_run_time_to_learn_from() -> None:
    job = msgspec.structs.replace(
        JOB, n=4, attempt=4, past=(past(1, "transient", 2.0), past(2, "lost", 0.0), past(3, "timeout", 9.0))
    )
    expected = Attempted("acme", "mail", "s", 3, 4, (2.0, 9.0, 0.5), 7, 7)
    assert attempted_of(failed(job), 3, "s") == expected


def test_a_choice_is_logged_with_its_features_where_it_was_learned() -> None:
    memory, attempt = RetryMemory(0.05), failed(JOB)
    closed = ClosedDispatch(Cause.FAILED, FaultClass.TRANSIENT, failures=1)
    memory.failed(ORIGIN, NOW_MS)
    memory.about(ORIGIN, attempted_of(attempt, 1, "s"), NOW_MS)
    policy = RetryPolicy(max_attempts=5)
    learned = choose(closed, policy, attempt, NOW_MS, (ORIGIN, 1), "s", memory).chosen
    assert (learned.fingerprint, len(learned.vector)) == (FINGERPRINT, 4 * len(FEATURES))
    assert learned.p_works is not None
    assert 0 < learned.p_works < 1
    ruled = choose(closed, policy, attempt, NOW_MS, (ORIGIN, 1), "s", None).chosen
    assert (ruled.fingerprint, ruled.vector, ruled.p_works) == ("", b"", None)
    last = choose(closed, RetryPolicy(max_attempts=1), attempt, NOW_MS, (ORIGIN, 1), "s", memory).chosen
    # Nothing is tried again, so nothing is foretold.
    assert (last.delay_s, last.vector) == (None, b"")
