"""Guards of starts: whatever scores say, the oldest waits no longer than they allow."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from core.head_order import Turn
from core.learning.starts import StartGuard, turn

fewer = settings(max_examples=100)
guards = st.builds(StartGuard, st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
slots = st.integers(1, 500)
counts = st.integers(0, 500)
waits = st.floats(0, 2e6)


@fewer
@given(guards, slots, counts, counts, waits)
def test_beyond_the_longest_wait_it_is_always_the_oldests_turn(
    guard: StartGuard, slots: int, running: int, started: int, wait_s: float
) -> None:
    if wait_s > guard.max_wait_s:
        assert turn(guard, slots, running, started, wait_s) is Turn.OLDEST


@fewer
@given(guards, slots, counts, counts, waits)
def test_patience_only_puts_off_the_share(
    guard: StartGuard, slots: int, running: int, started: int, wait_s: float
) -> None:
    patient = turn(guard, slots, running, started, wait_s)
    at_once = turn(guard._replace(patience_s=0.0), slots, running, started, wait_s)
    if wait_s > guard.max_wait_s or wait_s >= guard.patience_s:
        assert patient is at_once
    else:
        assert patient is Turn.BEST


@fewer
@given(st.floats(0.01, 1), slots, st.floats(0, 1e6))
def test_of_starts_that_never_end_the_oldest_get_their_share_and_no_more(
    share: float, slots: int, wait_s: float
) -> None:
    guard = StartGuard(share, math.inf, patience_s=wait_s)
    running = 0
    for started in range(slots):
        running += turn(guard, slots, running, started, wait_s) is Turn.OLDEST
    apart = math.floor(share * slots + 1e-9)
    assert running == (apart or slots // math.ceil(1 / share))
