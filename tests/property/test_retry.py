import math

from hypothesis import given
from hypothesis import strategies as st

from core.fault import FaultClass
from core.ledger.verdicts import Action
from core.retry import RETRY_AFTER_MAX_S, Cause, ClosedDispatch, RetryPolicy, decide_retry

draws = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1e9)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 50),
    base_s=st.none() | st.floats(0.001, 1e6),
    cap_s=st.none() | st.floats(0.001, 1e6),
)
closings = st.builds(
    ClosedDispatch,
    cause=st.sampled_from(Cause),
    fault=st.sampled_from(FaultClass),
    failures=st.integers(1, 10_000),
    losses=st.integers(1, 100),
    worker_deaths=st.integers(0, 10),
    hand_backs=st.integers(1, 10**9),
    retry_after_s=st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
times = st.integers(0, 2**50)


@given(closings, policies, times, draws)
def test_a_decision_is_complete_and_never_due_in_the_past(
    closed: ClosedDispatch, policy: RetryPolicy, now_ms: int, draw: float
) -> None:
    decision = decide_retry(closed, policy, now_ms, draw)
    if decision.action is Action.RETRY:
        assert decision.due_ms is not None
        assert now_ms <= decision.due_ms < now_ms + 2e9
        assert decision.error_class is None
    else:
        assert (decision.action, decision.due_ms) == (Action.DEAD, None)
        assert decision.error_class is not None


@given(closings, policies, times, draws)
def test_retries_are_bounded_whatever_fails(
    closed: ClosedDispatch, policy: RetryPolicy, now_ms: int, draw: float
) -> None:
    decision = decide_retry(closed, policy, now_ms, draw)
    if closed.cause is Cause.FAILED and decision.action is Action.RETRY:
        assert closed.failures < policy.max_attempts
        assert closed.fault not in (FaultClass.PERMANENT, FaultClass.POISON)
        assert closed.worker_deaths < 2
    if closed.cause is Cause.LOST and decision.action is Action.RETRY:
        assert closed.losses < 5


@given(policies, times, draws, seconds, st.integers(1, 49), st.sampled_from(FaultClass))
def test_retry_after_is_never_undercut(
    policy: RetryPolicy, now_ms: int, draw: float, asked_s: float, failures: int, fault: FaultClass
) -> None:
    closed = ClosedDispatch(Cause.FAILED, fault, failures=failures, retry_after_s=asked_s)
    decision = decide_retry(closed, policy, now_ms, draw)
    if decision.due_ms is not None:
        assert decision.due_ms - now_ms >= min(asked_s, RETRY_AFTER_MAX_S) * 1000


@given(policies, draws, st.integers(1, 49))
def test_waits_stay_under_the_cap_when_nobody_asked_for_more(
    policy: RetryPolicy, draw: float, failures: int
) -> None:
    closed = ClosedDispatch(Cause.FAILED, FaultClass.TRANSIENT, failures=failures)
    decision = decide_retry(closed, policy, 0, draw)
    if decision.due_ms is not None:
        cap_s = 300.0 if policy.cap_s is None else policy.cap_s
        assert decision.due_ms <= math.ceil(max(cap_s, 0.25) * 1000)


@given(closings, policies, times, draws)
def test_the_same_facts_give_the_same_decision(
    closed: ClosedDispatch, policy: RetryPolicy, now_ms: int, draw: float
) -> None:
    assert decide_retry(closed, policy, now_ms, draw) == decide_retry(closed, policy, now_ms, draw)
