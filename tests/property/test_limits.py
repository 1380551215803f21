"""Rate limits: never more than burst + rate x time, all of it under demand, parts that never exceed one."""

import math
import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.limits import (
    ALIVE_SLOTS,
    BASIS_SLOTS,
    BATCH_S,
    SLOT_MS,
    DemandLog,
    Limit,
    TokenBucket,
    Want,
    default_burst,
    shares,
)

rates = st.floats(0.01, 5000)
EPSILON = 1e-6


def most(taken_s: list[float], window_s: float) -> int:
    """The largest number in any window of this length."""
    best = first = 0
    for last, at_s in enumerate(taken_s):
        while at_s - taken_s[first] > window_s:
            first += 1
        best = max(best, last - first + 1)
    return best


@given(
    rate=rates,
    burst=st.floats(1, 100),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 50)), max_size=80),
    window_s=st.floats(0, 10),
)
def test_in_no_window_is_more_than_burst_and_rate_taken(
    rate: float, burst: float, steps: list[tuple[float, int]], window_s: float
) -> None:
    bucket, now_s = TokenBucket(), 0.0
    bucket.set(Limit(rate, burst), 1.0, now_s)
    taken: list[float] = []
    for step_s, tries in steps:
        now_s += step_s
        taken += [now_s for _ in range(tries) if bucket.take(now_s)]
    capacity = max(burst, 1.0, rate * BATCH_S)
    assert most(taken, window_s) <= capacity + rate * window_s + 1 + EPSILON * rate
    assert len(taken) <= rate * now_s + EPSILON * (1 + rate)  # it began empty


@given(rate=st.floats(0.5, 2000), seconds=st.integers(5, 30), seed=st.integers(0, 9))
def test_under_demand_all_of_the_rate_is_used(rate: float, seconds: int, seed: int) -> None:
    """Looked at when a token is due and up to 20 ms late, as executors do."""
    bucket, now_s, taken, draw = TokenBucket(), 0.0, 0, random.Random(seed)
    bucket.set(Limit(rate, default_burst(rate)), 1.0, 0.0)
    while now_s < seconds:
        while bucket.take(now_s):
            taken += 1
        wait_s = bucket.next_in_s(now_s)
        assert wait_s is not None
        now_s += max(wait_s, 1e-9) + draw.uniform(0, 0.02)
    late = rate * 0.03 / max(1.0, rate * 0.05)
    assert taken >= rate * seconds * (1 - late) - 2


@given(
    limits=st.lists(st.tuples(st.floats(0, 2), rates, st.floats(1, 50), st.floats(0, 1)), min_size=1),
)
def test_a_smaller_part_spills_and_no_part_gives_nothing(
    limits: list[tuple[float, float, float, float]],
) -> None:
    bucket, now_s = TokenBucket(), 0.0
    for step_s, rate, burst, share in limits:
        now_s += step_s
        bucket.set(Limit(rate, burst), share, now_s)
        taken = 0
        while bucket.take(now_s):
            taken += 1
        assert taken <= bucket.capacity
    bucket.set(Limit(1.0, 10.0), 0.0, now_s)
    assert not bucket.take(now_s + 1000)
    assert bucket.next_in_s(now_s + 1000) is None


def test_a_token_given_back_may_be_taken_again() -> None:
    bucket = TokenBucket()
    bucket.set(Limit(1.0, 1.0), 1.0, 0.0)
    assert bucket.take(1.0)
    assert not bucket.take(1.0)
    bucket.give_back()
    assert bucket.take(1.0)


wants = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1e6), min_size=1)


@given(wants=wants, rate=rates)
def test_parts_sum_to_one_and_give_everybody_what_it_wants_or_an_equal_part(
    wants: dict[str, float], rate: float
) -> None:
    parts = shares(wants, rate)
    assert parts.keys() == wants.keys()
    assert 1 - 1e-9 <= sum(parts.values()) <= 1 + 1e-9
    equal = 1 / len(wants)
    for name, part in parts.items():
        assert part >= min(wants[name] / rate, equal) - 1e-9
    if sum(wants.values()) >= rate:
        # Nothing is left with those that do not want it while others do.
        for name, part in parts.items():
            assert part * rate <= wants[name] + 1e-6 * rate


def test_who_alone_wants_has_all_and_nobody_wanting_all_have_the_same() -> None:
    assert shares({"a": 100.0, "b": 0.0}, 50.0) == {"a": 1.0, "b": 0.0}
    assert shares({"a": 0.0, "b": 0.0}, 50.0) == {"a": 0.5, "b": 0.5}
    assert shares({"a": 100.0, "b": 10.0}, 50.0) == pytest.approx({"a": 0.8, "b": 0.2})
    assert shares({}, 50.0) == {}


said = st.lists(
    st.tuples(
        st.integers(0, 900),  # ms since the record before
        st.sampled_from("abcd"),
        st.floats(0, 200),
        st.booleans(),
    ),
    max_size=60,
)


@given(said=said, rate=rates, views=st.data())
def test_whoever_has_read_how_much_parts_of_one_slot_never_exceed_one(
    said: list[tuple[int, str, float, bool]], rate: float, views: st.DataObject
) -> None:
    """Each executor stands elsewhere in the log, and takes the part it finds for itself."""
    logs = {name: DemandLog() for name in "abcd"}
    ends = {name: views.draw(st.integers(0, len(said)), label=name) for name in logs}
    at_ms = 0
    for place, (step_ms, name, want, leaving) in enumerate(said):
        at_ms += step_ms
        for reader, log in logs.items():
            if place < ends[reader]:
                log.take(at_ms, name, {"s": Want(want)}, leaving=leaving)
    slot = views.draw(st.integers(0, at_ms // SLOT_MS + 4))
    now_ms = slot * SLOT_MS + views.draw(st.integers(0, SLOT_MS - 1))
    # Who has left takes nothing, whatever it finds.
    left = {name for _, name, _, leaving in said if leaving}
    parts = [
        (log.shares("s", rate, now_ms) or {}).get(name, 0.0) for name, log in logs.items() if name not in left
    ]
    assert sum(parts) <= 1 + 1e-9


def test_who_has_not_read_far_enough_knows_no_part() -> None:
    log = DemandLog()
    log.take(0, "a", {"s": Want(9.0)})
    assert log.shares("s", 10.0, BASIS_SLOTS * SLOT_MS) is None
    log.take(SLOT_MS, "a", {"s": Want(9.0)})
    assert log.shares("s", 10.0, BASIS_SLOTS * SLOT_MS) == {"a": 1.0}
    assert log.shares("s", 10.0, (BASIS_SLOTS + 1) * SLOT_MS) is None


def speak(log: DemandLog, slots: Iterable[int], wants: dict[str, float]) -> None:
    for slot in slots:
        for name, want in wants.items():
            log.take(slot * SLOT_MS + 100, name, {"s": Want(want)})


def test_parts_follow_the_silent_the_leaving_and_the_new_within_seconds() -> None:
    """Everybody speaks in every slot; looked at in the slot after each."""
    log, found = DemandLog(), dict[int, dict[str, float] | None]()
    for slot in range(40):
        speak(log, [slot], {"a": 50.0})
        if slot < 10:
            speak(log, [slot], {"b": 50.0})
        if 20 <= slot < 30:
            speak(log, [slot], {"c": 50.0})
        if slot == 30:
            log.take(slot * SLOT_MS + 200, "c", {}, leaving=True)
        found[slot + 1] = log.shares("s", 50.0, (slot + 1) * SLOT_MS)
    both, alone = {"a": 0.5, "b": 0.5}, {"a": 1.0}
    silent = 9 + BASIS_SLOTS + ALIVE_SLOTS
    assert [found[slot] for slot in (silent - 1, silent)] == [both, alone]
    new = 20 + BASIS_SLOTS
    assert [found[slot] for slot in (new - 1, new)] == [alone, {"a": 0.5, "c": 0.5}]
    assert [found[slot] for slot in (30, 31)] == [{"a": 0.5, "c": 0.5}, alone]
    assert (silent - 9) * SLOT_MS <= 2500


def test_log_time_never_goes_back() -> None:
    """Two brokers whose clocks differ led the partition one after the other."""
    log = DemandLog()
    speak(log, range(4), {"a": 50.0})
    log.take(0, "b", {"s": Want(50.0)})
    speak(log, range(4, 6), {"a": 50.0})
    assert log.shares("s", 50.0, (3 + BASIS_SLOTS) * SLOT_MS) == {"a": 0.5, "b": 0.5}


def test_a_bucket_that_is_suspended_keeps_what_it_has_and_gives_nothing() -> None:
    bucket = TokenBucket()
    bucket.set(Limit(2.0, 4.0), 1.0, 0.0)
    bucket.suspend(1.0)
    assert not bucket.may_take(5.0)
    assert bucket.next_in_s(5.0) is None
    bucket.set(Limit(2.0, 4.0), 1.0, 5.0)
    assert [bucket.take(5.0) for _ in range(3)] == [True, True, False]


@given(
    rate=st.floats(20, 500),
    demand=st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 3), st.integers(4, 20)), min_size=1, max_size=6
    ),
)
def test_executors_together_keep_the_limit_and_use_it(
    rate: float, demand: list[tuple[str, float, int]]
) -> None:
    """Three executors whose demand comes and goes, over a shared log, ticking every 10 ms."""
    plan = Counter[tuple[str, int]]()
    slot = 4
    for name, share, slots in demand:
        for number in range(slot, slot + slots):
            plan[name, number] = math.ceil(share * rate)
        slot += slots // 2
    limit = Limit(rate, default_burst(rate))
    log, buckets = DemandLog(), {name: TokenBucket() for name in "abc"}
    taken: list[float] = []
    for tick in range((slot + 30) * SLOT_MS // 10):
        now_ms = tick * 10
        number = now_ms // SLOT_MS
        if now_ms % SLOT_MS == 0:
            parts = log.shares("s", rate, now_ms)
            for name, bucket in buckets.items():
                if parts is None:
                    bucket.suspend(now_ms / 1000)
                else:
                    bucket.set(limit, parts.get(name, 0.0), now_ms / 1000)
                log.take(now_ms, name, {"s": Want(float(plan[name, number]))})
        for name, bucket in buckets.items():
            while plan[name, number] and bucket.take(now_ms / 1000):
                taken.append(now_ms / 1000)
    bursts = sum(max(1.0, rate * BATCH_S) for _ in buckets) + limit.burst
    assert most(taken, 10.0) <= rate * 10 + bursts + 1
