import math
from dataclasses import replace

import pytest

from core.fault import UNCLASSIFIED_LIMIT, FaultClass
from core.ledger.verdicts import Action
from core.retry import (
    FLOOR_S,
    FREE_HAND_BACKS,
    RETRY_AFTER_MAX_S,
    Cause,
    ClosedDispatch,
    RetryDecision,
    RetryPolicy,
    decide_retry,
    draw_for,
    failure_delay_s,
)

NOW_MS = 1_700_000_000_000
POLICY = RetryPolicy(max_attempts=5)


def failed(fault: FaultClass = FaultClass.TRANSIENT, failures: int = 1, **facts: float) -> ClosedDispatch:
    return ClosedDispatch(
        Cause.FAILED,
        fault,
        failures=failures,
        worker_deaths=int(facts.get("worker_deaths", 0)),
        retry_after_s=facts.get("retry_after_s"),
    )


def decide(closed: ClosedDispatch, policy: RetryPolicy = POLICY, draw: float = 0.5) -> RetryDecision:
    return decide_retry(closed, policy, NOW_MS, draw)


def wait_s(decision: RetryDecision) -> float:
    assert decision.due_ms is not None
    return (decision.due_ms - NOW_MS) / 1000


def test_a_permanent_error_is_dead_at_once() -> None:
    decision = decide(failed(FaultClass.PERMANENT))
    assert (decision.action, decision.error_class) == (Action.DEAD, FaultClass.PERMANENT)


def test_the_last_attempt_that_fails_is_dead_of_its_own_class() -> None:
    assert decide(failed(FaultClass.TIMEOUT, failures=4)).action is Action.RETRY
    decision = decide(failed(FaultClass.TIMEOUT, failures=5))
    assert (decision.action, decision.error_class) == (Action.DEAD, FaultClass.TIMEOUT)
    assert "attempt 5 of 5" in decision.reason


def test_a_single_attempt_is_never_retried() -> None:
    assert decide(failed(), RetryPolicy(max_attempts=1)).action is Action.DEAD


def test_an_error_that_says_nothing_about_itself_has_a_low_cap_below_that_of_the_job() -> None:
    policy = RetryPolicy(max_attempts=50)
    unclassified = replace(failed(failures=UNCLASSIFIED_LIMIT - 1), unclassified=True)
    assert decide(unclassified, policy).action is Action.RETRY
    decision = decide(replace(unclassified, failures=UNCLASSIFIED_LIMIT), policy)
    assert decision.action is Action.DEAD
    assert "raise TransientError where all 50 are to be made" in decision.reason
    assert decide(failed(failures=UNCLASSIFIED_LIMIT), policy).action is Action.RETRY
    few = decide(replace(unclassified, failures=5), RetryPolicy(max_attempts=5))
    assert (few.action, few.reason) == (Action.DEAD, "attempt 5 of 5 failed")


def test_a_job_that_killed_two_workers_is_poison_with_attempts_left() -> None:
    assert decide(failed(FaultClass.LOST, worker_deaths=1)).action is Action.RETRY
    decision = decide(failed(FaultClass.LOST, failures=2, worker_deaths=2))
    assert (decision.action, decision.error_class) == (Action.DEAD, FaultClass.POISON)


def test_a_loss_uses_up_no_attempt_but_five_are_too_many() -> None:
    lost = ClosedDispatch(Cause.LOST, FaultClass.LOST, failures=5, losses=4)
    assert decide(lost).action is Action.RETRY
    assert wait_s(decide(lost)) <= 1.0
    decision = decide(ClosedDispatch(Cause.LOST, FaultClass.LOST, losses=5))
    assert (decision.action, decision.error_class) == (Action.DEAD, FaultClass.LOST)


@pytest.mark.parametrize("cause", [Cause.RELEASED, Cause.PREEMPTED])
def test_what_was_handed_back_goes_on_at_once(cause: Cause) -> None:
    decision = decide(ClosedDispatch(cause, FaultClass.LOST, hand_backs=1))
    assert (decision.action, decision.due_ms) == (Action.RETRY, NOW_MS)


def test_what_can_never_be_queued_is_dead() -> None:
    decision = decide(ClosedDispatch(Cause.PREEMPTED, FaultClass.PERMANENT, hand_backs=1))
    assert (decision.action, decision.error_class) == (Action.DEAD, FaultClass.PERMANENT)


def test_a_job_handed_back_for_ever_slows_down_and_stays_alive() -> None:
    at_once = ClosedDispatch(Cause.RELEASED, FaultClass.LOST, hand_backs=FREE_HAND_BACKS)
    assert wait_s(decide(at_once)) == 0
    for_ever = ClosedDispatch(Cause.RELEASED, FaultClass.LOST, hand_backs=10_000)
    assert decide(for_ever).action is Action.RETRY
    assert 10 < wait_s(decide(for_ever)) <= 60


def test_the_window_doubles_up_to_the_cap() -> None:
    policy = RetryPolicy(max_attempts=50, base_s=2.0, cap_s=10.0)
    waits = [failure_delay_s(failed(failures=n), policy, 0.5) for n in range(1, 6)]
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_no_wait_is_below_the_floor() -> None:
    assert failure_delay_s(failed(), POLICY, 0.0) == FLOOR_S


def test_overload_waits_longer_than_a_transient_failure() -> None:
    policy = RetryPolicy(max_attempts=5, base_s=3.0)
    overloaded = failure_delay_s(failed(FaultClass.OVERLOAD), policy, 0.9)
    assert overloaded == pytest.approx(5 * failure_delay_s(failed(), policy, 0.9))


def test_retry_after_is_waited_out_with_jitter_on_top() -> None:
    policy = RetryPolicy(max_attempts=5, cap_s=1.0)
    waits = [failure_delay_s(failed(retry_after_s=30.0), policy, draw) for draw in (0.0, 0.999)]
    assert waits[0] == 30.0
    assert 37 < waits[1] < 38


def test_an_absurd_retry_after_is_bounded() -> None:
    assert failure_delay_s(failed(retry_after_s=1e12), POLICY, 0.0) == RETRY_AFTER_MAX_S


@pytest.mark.parametrize("asked_s", [0.0, -5.0, math.nan])
def test_a_retry_after_that_means_nothing_is_ignored(asked_s: float) -> None:
    assert failure_delay_s(failed(retry_after_s=asked_s), POLICY, 0.5) == 0.5


def test_draws_repeat_for_one_dispatch_and_differ_between_dispatches() -> None:
    draws = [draw_for(f"e:0:{offset}", n) for offset in range(500) for n in (1, 2)]
    assert draws == [draw_for(f"e:0:{offset}", n) for offset in range(500) for n in (1, 2)]
    assert len(set(draws)) == len(draws)
    assert 0.45 < sum(draws) / len(draws) < 0.55


def test_a_tasks_own_growth_holds() -> None:
    closed = ClosedDispatch(Cause.FAILED, FaultClass.TRANSIENT, failures=3)
    flat = failure_delay_s(closed, RetryPolicy(9, base_s=2.0, cap_s=100.0, factor=1.0), 0.5)
    steep = failure_delay_s(closed, RetryPolicy(9, base_s=2.0, cap_s=100.0, factor=3.0), 0.5)
    assert (round(flat, 6), round(steep, 6)) == (1.0, 9.0)


def test_a_huge_growth_stays_under_the_cap() -> None:
    closed = ClosedDispatch(Cause.FAILED, FaultClass.TRANSIENT, failures=500)
    assert failure_delay_s(closed, RetryPolicy(999, base_s=1.0, cap_s=60.0, factor=1e6), 0.5) == 30.0
