"""Laws of what a job remembers of its attempts: each once, in order, and never too much."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.accepted_job import PAST_MAX, AcceptedJob, FailedAttempt, remembering
from schemas.codec import encode

JOB = AcceptedJob("e:0:1", "id", "t", "x", "p", msgspec.Raw(b"{}"), 5, 0, 1.0, 3, "0" * 16, "0" * 32)
ENDS = st.lists(st.tuples(st.booleans(), st.text(max_size=3000), st.integers(1, 3)), max_size=60)
PAST_MAX_BYTES = 34_000


@given(ENDS)
def test_attempts_are_remembered_once_in_order_and_in_bounds(ends: list[tuple[bool, str, int]]) -> None:
    job, failed = JOB, []
    for is_failure, message, repeats in ends:
        if is_failure:
            attempt = FailedAttempt(job, "x", "transient", message, message, 1)
            failed.append(job.n)
            # Whoever repeats a hand-over remembers no more.
            for _ in range(repeats):
                job = remembering(msgspec.structs.replace(attempt, job=job))
        job = msgspec.structs.replace(job, n=job.n + 1)
    assert [past.n for past in job.past] == failed[-PAST_MAX:]
    assert len(encode(job.past)) <= PAST_MAX_BYTES
    assert msgspec.json.decode(encode(job), type=AcceptedJob) == job
