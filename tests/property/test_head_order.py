"""Head-start order: nobody is overtaken beyond the difference in head start, nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from core.buckets import BUCKET_BOUNDS_S, BUCKETS, REFERENCE_COST_S, bucket_head_start_s, bucket_of
from core.head_order import HeadOrder, Turn
from core.priority import PriorityRule, Score, score
from core.urgency import Urgency

PER_DECADE_S = 1200.0
NOW_MS = 10**12
URGENCIES = st.builds(Urgency, st.integers(0, 9), st.none() | st.integers(NOW_MS - 10**9, NOW_MS + 10**9))
arrivals = st.lists(
    st.tuples(st.integers(0, 20_000_000), st.integers(0, BUCKETS - 1)), min_size=1, max_size=60
)


class Asked:
    """Always says the same, and remembers what it was told."""

    def __init__(self, whose: Turn) -> None:
        self._whose = whose
        self._oldest_ms = 0
        self.heard: list[tuple[int, int, bool]] = []

    def whose(self, oldest_ready_ms: int) -> Turn:
        self._oldest_ms = oldest_ready_ms
        return self._whose

    def took(self, item: int, *, is_oldest: bool) -> None:
        self.heard.append((self._oldest_ms, item, is_oldest))


def head_start_ms(bucket: int) -> float:
    return bucket_head_start_s(bucket, PER_DECADE_S) * 1000


@given(arrivals, st.data())
def test_nobody_is_overtaken_beyond_the_difference_in_head_start(
    jobs: list[tuple[int, int]], data: st.DataObject
) -> None:
    order: HeadOrder[tuple[int, int]] = HeadOrder()
    served: list[tuple[int, int, int]] = []
    position = 0
    for position, (ready_ms, bucket) in enumerate(sorted(jobs)):
        order.offer(bucket, head_start_ms(bucket), ready_ms, (ready_ms, bucket))
        wanted = data.draw(st.integers(0, 2))
        served += [(*taken, position) for taken in order.take(wanted, lambda _: True)]
    served += [(*taken, position) for taken in order.take(len(jobs), lambda _: True)]
    assert sorted((ready, bucket) for ready, bucket, _ in served) == sorted(jobs)
    for index, (ready, bucket, _) in enumerate(served):
        for other_ready, other_bucket, _ in served[:index]:
            # Served before: it became ready later by less than its larger head start.
            assert other_ready - ready <= max(0.0, head_start_ms(other_bucket) - head_start_ms(bucket))


@given(arrivals, st.integers(0, BUCKETS - 1))
def test_an_item_that_does_not_fit_keeps_its_place(jobs: list[tuple[int, int]], blocked: int) -> None:
    order: HeadOrder[tuple[int, int, int]] = HeadOrder()
    for number, (ready_ms, bucket) in enumerate(sorted(jobs)):
        order.offer(bucket, head_start_ms(bucket), ready_ms, (ready_ms, bucket, number))
    first = list(order.take(len(jobs), lambda item: item[1] != blocked))
    assert all(item[1] != blocked for item in first)
    rest = list(order.take(len(jobs), lambda _: True))
    assert [item[2] for item in rest] == sorted(item[2] for item in rest)
    assert len(first) + len(rest) == len(jobs)
    assert len(order) == 0


@given(
    st.floats(1e-4, 1e6),
    URGENCIES,
    st.none() | URGENCIES,
    st.none() | st.floats(1e-4, 1e6),
    st.floats(0, 1),
    st.floats(0, 1e4),
)
def test_a_score_is_bounded_and_its_parts_explain_it(
    predicted_s: float,
    own: Urgency,
    inherited: Urgency | None,
    high_s: float | None,
    failed: float,
    excess: float,
) -> None:
    rule = PriorityRule()
    scored = score(
        predicted_run_s=predicted_s,
        high_run_s=high_s,
        failed=failed,
        excess=excess,
        own=own,
        inherited=inherited,
        now_ms=NOW_MS,
        rule=rule,
    )
    assert 0 <= scored.head_start_s <= rule.max_s
    total = sum(scored.parts.values())
    assert abs(scored.head_start_s - min(rule.max_s, max(0.0, total))) < 0.01
    bucket = bucket_of(scored.head_start_s, rule.per_decade_s)
    assert 0 <= bucket < BUCKETS
    assert bucket_head_start_s(bucket, rule.per_decade_s) <= scored.head_start_s + 0.01


@given(st.floats(1e-3, 1e5))
def test_without_urgency_the_bucket_is_the_log_of_the_cost(cost_s: float) -> None:
    scored = score(predicted_run_s=cost_s, own=Urgency(5), now_ms=0, rule=PriorityRule())
    bucket = bucket_of(scored.head_start_s, PER_DECADE_S)
    bounds = (0.0, *BUCKET_BOUNDS_S, float("inf"))
    # The score is rounded to a millisecond of head start, so a cost that near a bound may fall either way.
    assert bounds[bucket] * (1 - 1e-4) <= cost_s <= bounds[bucket + 1] * (1 + 1e-4)
    assert REFERENCE_COST_S == 4096.0


@given(st.floats(0.01, 1e4), st.floats(0, 0.99), st.floats(0, 0.99), st.floats(0, 20), st.floats(0, 20))
def test_what_is_likelier_to_fail_or_has_had_more_never_starts_sooner(
    predicted_s: float, failed: float, more_failed: float, excess: float, more_excess: float
) -> None:
    def head_start_s(failed: float, excess: float) -> float:
        scored = score(
            predicted_run_s=predicted_s,
            failed=failed,
            excess=excess,
            own=Urgency(5),
            now_ms=0,
            rule=PriorityRule(),
        )
        return scored.head_start_s

    (less, more), (few, many) = sorted((failed, more_failed)), sorted((excess, more_excess))
    assert head_start_s(more, few) <= head_start_s(less, few) + 0.01
    assert head_start_s(less, many) <= head_start_s(less, few) + 0.01


@given(st.floats(0.01, 1e4), st.floats(1.0, 1e5), st.integers(0, 9))
def test_a_job_that_would_well_be_late_if_it_waited_is_next(
    predicted_s: float, slack_s: float, priority: int
) -> None:
    own = Urgency(priority, NOW_MS + round(slack_s * 1000))

    def parts(high_s: float) -> Score:
        return score(
            predicted_run_s=predicted_s, high_run_s=high_s, own=own, now_ms=NOW_MS, rule=PriorityRule()
        )

    called = parts(slack_s + 1)
    assert called.head_start_s >= PriorityRule().max_s - 0.01
    assert bucket_of(called.head_start_s, PER_DECADE_S) == 0
    assert "last_call" not in parts(slack_s - 0.5).parts


@given(st.integers(0, 8), st.integers(1, 9))
def test_more_urgency_never_starts_later(priority: int, more: int) -> None:
    def head_start(level: int) -> float:
        return score(predicted_run_s=7.0, own=Urgency(level), now_ms=0, rule=PriorityRule()).head_start_s

    assert head_start(min(9, priority + more)) >= head_start(priority)


@given(st.floats(1e-4, 1e6), URGENCIES, URGENCIES)
def test_who_inherits_starts_as_if_the_inherited_were_its_own_and_is_told_what_that_gave(
    predicted_s: float, own: Urgency, inherited: Urgency
) -> None:
    def scored(own: Urgency, inherited: Urgency | None = None) -> Score:
        return score(
            predicted_run_s=predicted_s, own=own, inherited=inherited, now_ms=NOW_MS, rule=PriorityRule()
        )

    raised, alone, as_own = scored(own, inherited), scored(own), scored(own.joined(inherited))
    assert abs(raised.head_start_s - as_own.head_start_s) < 0.01
    assert raised.head_start_s >= alone.head_start_s - 0.01
    assert raised.parts.items() >= alone.parts.items()
    assert ("inherited" in raised.parts) == (own.joined(inherited) != own)
    more_s = sum(as_own.parts.values()) - sum(alone.parts.values())
    assert abs(raised.parts.get("inherited", 0.0) - more_s) < 0.01


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.booleans()), max_size=40))
def test_shedding_takes_what_is_over_off_the_front_of_each_lane_and_nothing_else(
    items: list[tuple[int, int, bool]],
) -> None:
    order: HeadOrder[tuple[int, int, bool]] = HeadOrder()
    for number, (lane, ready_ms, is_over) in enumerate(items):
        order.offer(lane, 0.0, ready_ms, (lane, number, is_over))
    shed = order.shed(lambda item: item[2])
    left = list(order.take(1000, lambda _: True))
    assert sorted(shed + left, key=lambda item: item[1]) == [
        (lane, number, is_over) for number, (lane, _, is_over) in enumerate(items)
    ]
    for lane in range(4):
        mine = [item for item in left if item[0] == lane]
        assert not mine or not mine[0][2]
        gone = [item for item in shed if item[0] == lane]
        assert all(item[2] for item in gone)
        assert [item[1] for item in gone + mine] == sorted(item[1] for item in gone + mine)


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 50)), max_size=40),
    st.lists(st.booleans(), max_size=40),
)
def test_the_oldest_is_given_whatever_its_head_start_when_it_is_its_turn(
    arrivals: list[tuple[int, int]], oldest: list[bool]
) -> None:
    order: HeadOrder[int] = HeadOrder()
    waiting: dict[int, int] = {}
    for number, (lane, ready_ms) in enumerate(sorted(arrivals, key=lambda arrival: arrival[1])):
        order.offer(lane, 1000.0 * (7 - lane), ready_ms, number)
        waiting[number] = ready_ms
    for is_oldest in oldest[: len(arrivals)]:
        turns = Asked(Turn.OLDEST if is_oldest else Turn.BEST)
        (given_,) = order.take(1, lambda _item: True, turns=turns)
        first_ms = min(waiting.values())
        assert turns.heard == [(first_ms, given_, waiting[given_] == first_ms)]
        if is_oldest:
            assert waiting[given_] == first_ms
        del waiting[given_]
    assert len(order) == len(waiting)
