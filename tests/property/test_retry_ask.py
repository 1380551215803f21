"""Laws of asking an arm: the rule stays the floor, whoever is asked."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from core.fault import FaultClass
from core.retry import Cause, ClosedDispatch, RetryPolicy, draw_for, failure_delay_s
from core.retrying.ask import EXPLORED, LEARNED, LONGEST_S, ask
from core.retrying.asked import by_rule
from core.retrying.choice import Moment, Subject
from core.retrying.explore import ARMS, CONTROL, EXPLORED_MAX, propensities, shares_of
from core.retrying.history import History, Seen

faults = st.sampled_from([FaultClass.TRANSIENT, FaultClass.OVERLOAD, FaultClass.TIMEOUT])
asked_s = st.one_of(st.none(), st.floats(0, 7200))
closures = st.builds(ClosedDispatch, st.just(Cause.FAILED), faults, st.integers(1, 30), retry_after_s=asked_s)
policies = st.builds(RetryPolicy, st.integers(1, 50), st.one_of(st.none(), st.floats(0.001, 60)))
dispatches = st.tuples(st.text(max_size=12), st.integers(1, 60))
limits = st.one_of(st.just(inf), st.floats(0, 1e6))
winners = st.sampled_from(ARMS)


def a_history() -> History:
    history = History()
    for minute in range(1, 30):
        history.add(Subject("acme", "email", "s"), Seen(0.0, 60.0 * minute))
    return history


HISTORY = a_history()


@given(closures, policies, winners, st.integers(0, 3), dispatches, limits, st.floats(0, 1e5))
def test_an_arm_moves_the_delay_within_bounds_and_is_logged_with_its_chance(
    closed: ClosedDispatch,
    policy: RetryPolicy,
    winner: str,
    generation: int,
    dispatch: tuple[str, int],
    latest_s: float,
    age_s: float,
) -> None:
    shares = shares_of(generation, winner, EXPLORED_MAX)
    moment = Moment(age_s, closed.failures, 3, latest_s, subject=Subject("acme", "email", "s"))
    asked = ask(closed, policy, moment, shares, HISTORY.hazards(moment), dispatch)
    rule_s = failure_delay_s(closed, policy, draw_for(*dispatch))
    assert asked == ask(closed, policy, moment, shares, HISTORY.hazards(moment), dispatch)
    assert asked.propensity == propensities(shares)[asked.arm] > 0
    assert 0 < asked.delay_s <= max(rule_s, min(LONGEST_S, latest_s))
    if closed.retry_after_s:
        assert asked.delay_s == rule_s
    assert (asked.policy == CONTROL) == (asked.arm == CONTROL)
    assert (asked.policy == LEARNED) == (asked.arm == winner != CONTROL)
    assert asked.policy in {CONTROL, LEARNED, EXPLORED}
    if asked.arm == CONTROL:
        assert asked.delay_s == by_rule(closed, policy, draw_for(*dispatch)).delay_s == rule_s


@given(closures, policies, dispatches)
def test_without_exploration_the_first_generation_is_the_rule(
    closed: ClosedDispatch, policy: RetryPolicy, dispatch: tuple[str, int]
) -> None:
    moment = Moment(0.0, closed.failures, 3)
    asked = ask(closed, policy, moment, shares_of(0, CONTROL, 0.0), HISTORY.hazards(moment), dispatch)
    assert asked == by_rule(closed, policy, draw_for(*dispatch))
