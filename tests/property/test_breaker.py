"""A circuit opens on an outage, never for one tenant, is never stuck, and does not flap."""

import random
from collections import deque
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from core.breaker import (
    BY_HAND_MS,
    CLOSED,
    PROBE_MAX_MS,
    PROBE_MS,
    SETTLE_MS,
    STEP_MS,
    Circuit,
    State,
    closed,
    grown,
    opened,
    probe_interval_ms,
    step,
)
from core.circuit_evidence import STREAK, Evidence

TURN_MS = 500
BACKOFF_MS = 3000
"""Until what failed is called again."""


class World:
    """One circuit at work: jobs arrive, what may be claimed is called, executors tell a second later."""

    def __init__(self, seed: int, per_s: float, is_up: Callable[[float], float]) -> None:
        self.rng = random.Random(seed)
        self.per_s = per_s
        self.is_up = is_up
        """Share of calls that end well at a time, in seconds."""
        self.evidence = Evidence()
        self.circuit: Circuit = CLOSED
        self.backlog = 0.0
        self.tokens = 0.0
        self.now_ms = 0
        self.bad = 0
        self.called: list[tuple[int, int]] = []
        """Calls of each turn."""
        self.states: list[tuple[int, State]] = []
        self._untold: deque[tuple[int, int, int]] = deque()
        self._again: deque[tuple[int, int]] = deque()

    def run(self, seconds: float, cap_per_s: float = 500.0) -> None:
        until_ms = self.now_ms + int(seconds * 1000)
        while self.now_ms < until_ms:
            self.now_ms += TURN_MS
            self.backlog += self.per_s * TURN_MS / 1000
            self._call(cap_per_s)
            self._tell()
            before = self.circuit
            recent = sum(count for _, count in self.called[-2:])
            wanted = recent if self.backlog < 1 else self.backlog + recent
            self.circuit = step(before, self.evidence, wanted, self.now_ms)
            if self.circuit.state is not before.state:
                self.states.append((self.now_ms, self.circuit.state))
                if self.circuit.state is State.CLOSED:
                    self.evidence.start_anew()

    def last(self) -> State:
        return self.states[-1][1]

    def _call(self, cap_per_s: float) -> None:
        while self._again and self._again[0][0] <= self.now_ms:
            self.backlog += self._again.popleft()[1]
        most = cap_per_s * TURN_MS / 1000
        if self.circuit.state is not State.CLOSED:
            burst = max(1.0, self.circuit.rate_per_s * 0.25)
            self.tokens = min(burst, self.tokens + self.circuit.rate_per_s * TURN_MS / 1000)
            most = min(most, self.tokens)
        count = int(min(most, self.backlog))
        self.tokens -= count
        share = self.is_up(self.now_ms / 1000)
        ok = count if share >= 1 else sum(self.rng.random() < share for _ in range(count))
        self.backlog -= count
        if count > ok:
            self._again.append((self.now_ms + BACKOFF_MS, count - ok))
        self.bad += count - ok
        self.called.append((self.now_ms, count))
        self._untold.append((self.now_ms, ok, count - ok))

    def _tell(self) -> None:
        while self._untold and self._untold[0][0] <= self.now_ms - 1000:
            at_ms, ok, bad = self._untold.popleft()
            if ok or bad:
                self.evidence.take(at_ms, "acme", ok, bad)


def outage(from_s: float, to_s: float) -> Callable[[float], float]:
    return lambda at_s: 0.0 if from_s <= at_s < to_s else 1.0


@given(st.integers(0, 2**32), st.floats(3, 30), st.floats(60, 400))
@settings(deadline=None, max_examples=8)
def test_an_outage_costs_few_calls_and_all_that_waited_is_through_without_a_storm(
    seed: int, per_s: float, length_s: float
) -> None:
    world = World(seed, per_s, outage(60, 60 + length_s))
    world.run(60 + length_s)
    assert world.last() is State.OPEN
    # To see it: a streak, and what is called until that is told, twice as it fails again; then probes.
    assert world.bad <= STREAK + 6 * per_s + 8 + length_s * 1000 / PROBE_MAX_MS
    recovered_ms = world.now_ms
    world.run(PROBE_MAX_MS / 1000 + length_s * 3 + 120)
    assert world.last() is State.CLOSED
    assert world.backlog < per_s + 2
    after = [count for at_ms, count in world.called if at_ms >= recovered_ms]
    peak = max(first + second for first, second in pairwise(after))
    assert peak <= max(4.0, 2 * per_s) * 3 + 2


@given(st.integers(0, 2**32), st.floats(1, 60), st.floats(0.0, 0.3))
@settings(deadline=None, max_examples=5)
def test_what_fails_now_and_then_by_itself_opens_no_circuit(seed: int, per_s: float, fails: float) -> None:
    world = World(seed, per_s, lambda _: 1.0 - fails)
    world.run(300)
    assert world.states == []


@given(st.integers(0, 2**32), st.floats(2, 100), st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=8)
def test_a_circuit_never_flaps_faster_than_probes_and_steps_allow(
    seed: int, per_s: float, works: float
) -> None:
    world = World(seed, per_s, lambda at_s: 1.0 if at_s < 30 else works)
    world.run(250)
    opened_ms = [at_ms for at_ms, state in world.states if state is State.OPEN]
    closed_ms = [at_ms for at_ms, state in world.states if state is State.CLOSED]
    for before, after in pairwise(opened_ms):
        assert after - before >= PROBE_MS / 2
    for at_ms in closed_ms:
        assert all(one - at_ms >= SETTLE_MS for one in opened_ms if one > at_ms)
        assert all(at_ms - one >= STEP_MS for one in opened_ms if one < at_ms)


@given(st.integers(0, 2**32), st.floats(0, 900))
@settings(deadline=None, max_examples=8)
def test_an_open_circuit_is_never_stuck_when_probes_succeed(seed: int, open_s: float) -> None:
    world = World(seed, 5.0, outage(0, open_s))
    world.circuit = opened(CLOSED, 5.0, "a test", 0)
    world.run(open_s + PROBE_MAX_MS / 1000 + 10)
    assert world.circuit.state is not State.OPEN


@given(
    st.lists(st.tuples(st.sampled_from(["bad", "good"]), st.integers(1, 30)), min_size=1, max_size=60),
    st.floats(0.15, 0.9),
)
def test_one_tenant_that_always_fails_does_not_open_the_circuit_of_all(
    turns: list[tuple[str, int]], share: float
) -> None:
    evidence, now_ms = Evidence(), 1000
    evidence.take(now_ms, "good", 1000, 0)
    evidence.take(now_ms, "bad", int(1000 * (1 - share) / share), 0)
    for who, count in turns:
        now_ms += 1000
        evidence.take(now_ms, who, count if who == "good" else 0, count if who == "bad" else 0)
        assert evidence.why_down(now_ms) is None


@given(st.integers(1, 500), st.integers(0, 100))
def test_what_never_worked_is_no_outage(bad: int, seconds: int) -> None:
    evidence = Evidence()
    for second in range(seconds):
        evidence.take(second * 1000, "acme", 0, bad)
    assert evidence.why_down(seconds * 1000) is None


@given(st.floats(2.0, 500), st.integers(1, 200))
def test_a_recovering_rate_grows_by_doubling_and_then_by_equal_steps(usual_per_s: float, steps: int) -> None:
    rate_per_s = 1.0
    for _ in range(steps):
        before, rate_per_s = rate_per_s, grown(rate_per_s, usual_per_s)
        assert before < rate_per_s <= max(2 * before, before + 0.2 * usual_per_s + 1e-9)
    assert rate_per_s <= 2 * usual_per_s * (1 + 0.1 * steps) + 1e-6


@given(st.integers(0, 20))
def test_probes_of_a_relapse_begin_rarer_and_stay_within_the_longest_interval(trips: int) -> None:
    assert probe_interval_ms(trips) <= probe_interval_ms(trips + 1) <= PROBE_MAX_MS
    first = opened(CLOSED, 4.0, "down", 1000)
    again = opened(closed(first, "through", 2000), 0.0, "down", 9000)
    assert (first.trips, again.trips) == (1, 2)
    assert again.rate_per_s < first.rate_per_s
    assert again.usual_per_s == 4.0


def test_what_a_person_closed_stays_closed_for_a_minute() -> None:
    evidence = Evidence()
    evidence.take(0, "acme", 10, 0)
    evidence.take(1000, "acme", 0, 100)
    circuit = closed(opened(CLOSED, 4.0, "down", 500), "by hand", 1000, BY_HAND_MS)
    assert step(circuit, evidence, 5.0, 1000 + BY_HAND_MS - 1).state is State.CLOSED
    assert step(circuit, evidence, 5.0, 1000 + BY_HAND_MS).state is State.OPEN


def test_a_probe_that_fails_makes_the_next_one_rarer_and_what_was_in_flight_does_not() -> None:
    circuit, evidence = opened(CLOSED, 4.0, "down", 0), Evidence()
    evidence.take(2500, "acme", 1, 5)
    assert step(circuit, evidence, 5.0, 3500) is circuit
    evidence.take(6000, "acme", 0, 1)
    after = step(circuit, evidence, 5.0, 7000)
    assert after.rate_per_s == circuit.rate_per_s / 2
    assert after.since_ms == 0


def test_a_circuit_that_nobody_wants_anything_of_closes() -> None:
    circuit, evidence = opened(CLOSED, 4.0, "down", 0), Evidence()
    assert step(circuit, evidence, 0.0, 599_000) is circuit
    assert step(circuit, evidence, None, 600_000) is circuit
    assert step(circuit, evidence, 0.0, 600_000).state is State.CLOSED
    recovering = circuit._replace(state=State.RECOVERING)
    assert step(recovering, evidence, 0.0, 29_000) is recovering
    assert step(recovering, evidence, 0.0, 30_000).state is State.CLOSED


def test_a_circuit_that_fails_while_it_recovers_is_open_again() -> None:
    circuit, evidence = opened(CLOSED, 4.0, "down", 0), Evidence()
    recovering = circuit._replace(state=State.RECOVERING, changed_ms=10_000, rate_per_s=4.0)
    evidence.take(10_500, "acme", 1, 2)
    again = step(recovering, evidence, 9.0, 11_000)
    assert again.state is State.OPEN
    assert again.trips == 2
