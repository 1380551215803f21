"""What ``penstock why`` expects: who is before a job, and when it starts."""

import random

from hypothesis import given
from hypothesis import strategies as st

from core.buckets import BUCKETS, bucket_head_start_s
from core.expected_start import ExpectedStart, Overtaking, Slots, Work, expected_start, not_before
from core.head_order import HeadOrder
from core.queue_place import taken_before_ms
from core.slot_times import DRIFT_SHARE, LEAST_IDLE_S, Hold, Past, SlotTimes, idle_between_s

TINY_S = 1e-6
SECONDS = st.floats(0, 1000, allow_nan=False)
WORK = st.builds(Work, st.integers(0, 2000), SECONDS, SECONDS, SECONDS, st.booleans())
BUSY = st.builds(Work, st.just(1), SECONDS, SECONDS)
ARRIVING = st.lists(st.builds(Overtaking, st.floats(0, 20), st.floats(0, 1000)), max_size=4)


@st.composite
def served(draw: st.DrawFn) -> Slots:
    slots = draw(st.integers(1, 12))
    return Slots(slots, draw(st.integers(1, 4)), draw(st.lists(BUSY, max_size=slots)))


def start_of(ahead: list[Work], slots: Slots, arriving: list[Overtaking]) -> ExpectedStart:
    found = expected_start(ahead, slots, arriving)
    assert found is not None
    return found


def is_not_earlier(late: ExpectedStart, soon: ExpectedStart) -> bool:
    near = TINY_S * (1 + soon.high_s)
    return late.point_s >= soon.point_s - near and late.high_s >= soon.high_s - near


@given(st.lists(WORK, max_size=6), served(), ARRIVING)
def test_the_interval_has_the_point_in_it_and_begins_at_now(
    ahead: list[Work], slots: Slots, arriving: list[Overtaking]
) -> None:
    found = start_of(ahead, slots, arriving)
    assert 0 <= found.low_s <= found.point_s <= found.high_s


@given(st.lists(WORK, max_size=5), served(), ARRIVING, WORK, st.integers(0, 5))
def test_with_more_work_ahead_it_never_starts_earlier(
    ahead: list[Work], slots: Slots, arriving: list[Overtaking], more: Work, at: int
) -> None:
    whole = [*ahead[:at], more, *ahead[at:]]
    assert is_not_earlier(start_of(whole, slots, arriving), start_of(ahead, slots, arriving))


@given(st.lists(WORK, min_size=1, max_size=5), served(), ARRIVING, st.integers(1, 600), SECONDS)
def test_with_more_or_longer_jobs_of_a_kind_ahead_it_never_starts_earlier(
    ahead: list[Work], slots: Slots, arriving: list[Overtaking], jobs: int, longer_s: float
) -> None:
    before = start_of(ahead, slots, arriving)
    first = ahead[0]
    for changed in (
        first._replace(jobs=first.jobs + jobs),
        first._replace(mean_s=first.mean_s + longer_s),
    ):
        assert is_not_earlier(start_of([changed, *ahead[1:]], slots, arriving), before)


@given(st.lists(WORK, max_size=6), served(), ARRIVING, st.integers(1, 5))
def test_with_more_slots_it_never_starts_later(
    ahead: list[Work], slots: Slots, arriving: list[Overtaking], more: int
) -> None:
    wider = slots._replace(slots=slots.slots + more)
    assert is_not_earlier(start_of(ahead, slots, arriving), start_of(ahead, wider, arriving))


@given(st.lists(WORK, max_size=6), served(), ARRIVING, st.builds(Overtaking, st.floats(0, 9), SECONDS))
def test_what_may_overtake_moves_the_upper_end_alone(
    ahead: list[Work], slots: Slots, arriving: list[Overtaking], more: Overtaking
) -> None:
    before, after = start_of(ahead, slots, arriving), start_of(ahead, slots, [*arriving, more])
    assert after[:2] == before[:2]
    assert after.high_s >= before.high_s - TINY_S * (1 + before.high_s)


@given(st.integers(0, 100), st.integers(1, 8), st.floats(0.01, 100))
def test_equal_jobs_on_idle_slots_are_played_in_rounds(jobs: int, slots: int, mean_s: float) -> None:
    found = start_of([Work(jobs, mean_s)], Slots(slots), [])
    assert abs(found.point_s - jobs // slots * mean_s) < TINY_S * (1 + found.point_s)


def test_without_a_slot_nothing_is_expected() -> None:
    assert expected_start([], Slots(0)) is None


def test_many_jobs_take_what_they_take_together_by_all_slots() -> None:
    found = start_of([Work(100_000, 2.0)], Slots(50), [])
    assert abs(found.point_s - 4000) <= 2


def test_work_that_a_limit_holds_back_is_not_counted_on() -> None:
    sure = Work(100, 1.0)
    found = start_of([sure, sure._replace(may_be_passed=True)], Slots(1), [])
    assert (found.low_s, found.point_s) == (99.5, 200.0)


def test_work_that_overtakes_for_a_time_delays_by_what_it_brings() -> None:
    # Ten seconds on two slots, one of which is busy with what arrives, for four seconds.
    found = start_of([Work(20, 1.0)], Slots(2), [Overtaking(1.0, 4.0)])
    assert found.high_s == 10.0 + 0.5 + 4.0 / 2


@given(served(), st.lists(WORK, max_size=3), st.integers(0, 10_000), st.floats(0.01, 100), st.floats(1, 50))
def test_a_token_is_waited_for_and_the_interval_stays_in_order(
    slots: Slots, ahead: list[Work], before: int, rate_per_s: float, burst: float
) -> None:
    free = start_of(ahead, slots, [])
    limited = not_before(free, before, rate_per_s, burst)
    assert limited.low_s <= limited.point_s <= limited.high_s
    assert all(late >= soon for late, soon in zip(limited, free, strict=True))


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, BUCKETS - 1)), min_size=1, max_size=40),
    st.integers(0, 39),
    st.sampled_from([1.0, 7.3, 1200.0]),
)
def test_who_is_taken_before_a_job_is_what_executors_take_before_it(
    jobs: list[tuple[int, int]], chosen: int, per_decade_s: float
) -> None:
    lined_up = sorted(jobs)
    ready_ms, bucket = lined_up[chosen % len(lined_up)]
    order: HeadOrder[tuple[int, int, int]] = HeadOrder()
    for place, (at_ms, into) in enumerate(lined_up):
        order.offer(into, bucket_head_start_s(into, per_decade_s) * 1000, at_ms, (at_ms, into, place))
    taken = list(order.take(len(lined_up), lambda _: True))
    mine = next(place for place, (at_ms, into, _) in enumerate(taken) if (at_ms, into) == (ready_ms, bucket))
    bounds = taken_before_ms(ready_ms, bucket, per_decade_s)
    assert {one for one in taken[:mine] if one[1] != bucket} <= {
        one for one in taken if one[0] <= bounds[one[1]] + TINY_S
    }
    # What stands at a bound to a rounding goes either way, everything else as the bounds say.
    before = {one for one in taken if one[0] < bounds[one[1]] - TINY_S}
    assert before <= set(taken[:mine])


@given(st.floats(0.01, 100), st.floats(0.01, 10), st.integers(1, 300))
def test_slot_times_learn_by_how_much_predictions_are_wrong(
    predicted_s: float, ratio: float, jobs: int
) -> None:
    times = SlotTimes([Past("a", 3, predicted_s, ratio * predicted_s)] * jobs)
    found = times.expected("a", 3, predicted_s)
    assert found.jobs == jobs
    # Towards the ratio as fast as the prior lets go.
    assert abs(found.mean_s / predicted_s - ratio) <= abs(ratio - 1) * (3 / (3 + jobs)) ** 3 + TINY_S
    assert found.error_s >= DRIFT_SHARE * found.mean_s


@given(st.lists(st.builds(Past, st.sampled_from("abc"), st.integers(0, 7), SECONDS, SECONDS), max_size=30))
def test_slot_times_are_finite_whatever_ended(past: list[Past]) -> None:
    found = SlotTimes(past).expected("a", 2, 1.0)
    assert 0 <= found.mean_s < float("inf")
    assert 0 <= found.sd_s < float("inf")


def test_a_kind_nobody_knows_is_as_uncertain_as_it_is_long() -> None:
    assert SlotTimes([]).expected("new", 1, 2.0) == (2.0, 2.0, 2.0, 0)


def test_a_new_kind_leans_on_how_predictions_of_others_turned_out() -> None:
    found = SlotTimes([Past("a", 3, 1.0, 2.0)] * 97).expected("new", 5, 10.0)
    assert (found.jobs, round(found.mean_s, 1)) == (0, 19.7)


def rounds(slots: int, jobs: int, run_s: float, idle_s: float, waited_s: float = 9.0) -> list[Hold]:
    """Every slot takes one job after the other, each a while after the one before."""
    every_s = run_s + idle_s
    began = [number // slots * every_s for number in range(jobs)]
    return [Hold("e", at_s, at_s + run_s, waited_s) for at_s in began]


@given(st.integers(1, 8), st.integers(5, 12), st.floats(0.1, 2), st.floats(0, 0.5))
def test_what_slots_are_free_between_jobs_is_found_again(
    slots: int, per_slot: int, run_s: float, idle_s: float
) -> None:
    holds = rounds(slots, slots * per_slot, run_s, idle_s)
    now_s = holds[-1].ended_s
    assert now_s is not None
    found = idle_between_s(holds, {"e": slots, "other": 3}, now_s)
    # Towards what is taken while nothing is known, as fast as the prior lets go.
    jobs = slots * (per_slot - 1)
    assert abs(found - (idle_s * jobs + 3 * LEAST_IDLE_S) / (jobs + 3)) < TINY_S


def test_slots_free_for_want_of_jobs_are_not_counted() -> None:
    assert idle_between_s(rounds(2, 40, 0.5, 5.0, waited_s=0.0), {"e": 2}, 100.0) == LEAST_IDLE_S
    assert idle_between_s(rounds(2, 40, 0.5, 5.0), {}, 100.0) == LEAST_IDLE_S
    assert idle_between_s([], {"e": 2}, 100.0) == LEAST_IDLE_S


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.1, 50), st.floats(0.1, 50))
def test_jobs_that_still_run_make_all_seem_longer_and_never_shorter(
    ended: int, running: int, slot_s: float, elapsed_s: float
) -> None:
    past = [Past("a", 3, 1.0, slot_s)] * ended
    late = [Past("a", 3, 1.0, elapsed_s, has_ended=False)] * running
    without = SlotTimes(past).expected("a", 3, 1.0)
    with_them = SlotTimes([*past, *late]).expected("a", 3, 1.0)
    assert with_them.jobs == without.jobs == ended
    assert (with_them.mean_s > without.mean_s) == (running > 0)
    assert SlotTimes(late).expected("a", 3, 1.0) == SlotTimes([]).expected("a", 3, 1.0)


def test_of_jobs_taken_together_the_mean_is_right_while_only_the_short_ones_have_ended() -> None:
    draw = random.Random(5)
    lengths_s = [draw.expovariate(1 / 2.0) for _ in range(4000)]
    past = [Past("a", 3, 2.0, min(one, 1.0), has_ended=one <= 1.0) for one in lengths_s]
    assert abs(SlotTimes(past).expected("a", 3, 2.0).mean_s - 2.0) < 0.15
