"""Which partitions of others an executor follows, and when it may take what waits there."""

from hypothesis import given
from hypothesis import strategies as st

from core.log import TopicPartition
from core.stealing import (
    BACKOFF_LEVELS,
    BACKOFF_MS,
    FOLLOW_S,
    LOOK_MAX_S,
    LOOK_S,
    PATIENCE_MS,
    SPREAD_MS,
    Backoff,
    Progress,
    follow_next,
    look_again_s,
    ripe_ms,
    stuck,
    worth_following,
)

PARTITIONS = st.integers(0, 30)
LANES = st.builds(TopicPartition, st.sampled_from(["b0", "b1"]), PARTITIONS)


@st.composite
def two_looks(draw: st.DrawFn) -> tuple[dict[TopicPartition, Progress], dict[TopicPartition, Progress]]:
    """A look and a later one: offsets never go back."""
    before, now = {}, {}
    for lane in draw(st.sets(LANES, max_size=12)):
        committed, waiting, handled, arrived = draw(
            st.tuples(*[st.integers(0, 5)] * 4).filter(lambda four: four[2] <= four[1] + four[3])
        )
        before[lane] = Progress(committed, committed + waiting)
        now[lane] = Progress(committed + handled, committed + waiting + arrived)
    return before, now


@given(two_looks())
def test_stuck_is_exactly_what_was_there_and_is_not_handled(
    looks: tuple[dict[TopicPartition, Progress], dict[TopicPartition, Progress]],
) -> None:
    before, now = looks
    expected: dict[int, int] = {}
    for lane, past in before.items():
        there = set(range(past.committed, past.end))
        open_still = {offset for offset in there if offset >= now[lane].committed}
        if open_still:
            expected[lane.partition] = expected.get(lane.partition, 0) + len(open_still)
    assert stuck(before, now) == expected


@given(two_looks())
def test_what_an_owner_keeps_up_with_is_never_stuck(
    looks: tuple[dict[TopicPartition, Progress], dict[TopicPartition, Progress]],
) -> None:
    before, now = looks
    kept_up = {lane: Progress(max(seen.committed, before[lane].end), seen.end) for lane, seen in now.items()}
    assert stuck(before, kept_up) == {}
    assert stuck({}, now) == {}


@given(two_looks(), st.booleans())
def test_where_anything_waits_is_followed_once_something_was_stuck_and_nothing_before(
    looks: tuple[dict[TopicPartition, Progress], dict[TopicPartition, Progress]], is_uneven: bool
) -> None:
    before, now = looks
    found, left = worth_following(before, now, is_uneven=is_uneven), stuck(before, now)
    assert {partition: count for partition, count in found.items() if count} == left
    waiting = {lane.partition for lane, seen in now.items() if seen.end > seen.committed}
    assert found.keys() == (waiting if left or is_uneven else set())


@given(
    st.dictionaries(PARTITIONS, st.floats(0, 200)),
    st.dictionaries(PARTITIONS, st.integers(0, 1000)),
    st.frozensets(PARTITIONS),
    st.floats(0, 200),
    st.integers(1, 8),
)
def test_only_others_are_followed_never_too_many_and_never_for_nothing(
    followed: dict[int, float], waiting: dict[int, int], owned: frozenset[int], now_s: float, most: int
) -> None:
    found = follow_next(followed, waiting, owned, now_s=now_s, most=most, name="x")
    assert not found.keys() & owned
    assert len(found) <= most
    for partition, until_s in found.items():
        assert until_s > now_s
        assert partition in waiting or until_s == followed[partition]
        assert until_s <= max(now_s + FOLLOW_S, followed.get(partition, 0.0))
    wanted = {
        p for p in waiting.keys() | {p for p, at_s in followed.items() if at_s > now_s} if p not in owned
    }
    if len(wanted) <= most:
        assert found.keys() == wanted
    # What is followed already gives way to nothing new: followers do not come and go.
    kept = {p for p in wanted if p in followed}
    assert len(found.keys() & kept) == min(len(kept), most)


def test_executors_that_cannot_follow_everything_spread_out() -> None:
    waiting = dict.fromkeys(range(16), 5)
    chosen = [
        frozenset(follow_next({}, waiting, (), now_s=0.0, most=4, name=f"executor-{number}"))
        for number in range(8)
    ]
    assert len(set().union(*chosen)) >= 12
    assert len(set(chosen)) >= 7


def test_more_work_is_followed_before_less() -> None:
    found = follow_next({}, {1: 1, 2: 500, 3: 2}, (), now_s=0.0, most=1, name="x")
    assert list(found) == [2]


@given(st.integers(0, 2**41), st.text(max_size=20), st.text(max_size=20))
def test_a_dispatch_is_left_to_its_owner_first_and_to_nobody_for_long(
    queued_ms: int, dispatch: str, name: str
) -> None:
    at_ms = ripe_ms(queued_ms, dispatch, name)
    assert queued_ms + PATIENCE_MS <= at_ms < queued_ms + PATIENCE_MS + SPREAD_MS
    assert at_ms == ripe_ms(queued_ms, dispatch, name)


def test_executors_take_a_dispatch_at_different_times() -> None:
    times = {ripe_ms(0, "e:0:1/1", f"executor-{number}") for number in range(20)}
    assert len(times) >= 10


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5000), st.floats(0, 1, exclude_max=True)), max_size=40)
)
def test_refused_claims_make_pauses_that_grow_end_and_are_forgotten(
    claims: list[tuple[bool, int, float]],
) -> None:
    known, now_ms = Backoff(), 0
    for holds, passed_ms, draw in claims:
        now_ms += passed_ms
        before, known = known, known.after(holds=holds, now_ms=now_ms, draw=draw)
        assert 0 <= known.level < BACKOFF_LEVELS
        assert known.until_ms - now_ms <= BACKOFF_MS * 2 ** (BACKOFF_LEVELS - 1) * 1.5
        if now_ms < before.until_ms:
            assert known == before
        elif holds:
            assert known.level == max(0, before.level - 1)
            assert known.until_ms <= now_ms
        else:
            assert known.until_ms > now_ms
            assert known.level >= before.level


def test_a_thief_that_is_always_too_late_nearly_stops() -> None:
    known, now_ms, claims = Backoff(), 0, 0
    while now_ms < 60_000:
        claims += 1
        known = known.after(holds=False, now_ms=now_ms, draw=0.5)
        now_ms = known.until_ms
    assert claims < 30


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_looks_are_neither_a_storm_nor_forgotten(quiet_looks: int, draw: float) -> None:
    assert 0.75 * LOOK_S <= look_again_s(quiet_looks, draw) <= 1.25 * LOOK_MAX_S
