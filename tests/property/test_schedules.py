"""Which ticks fire: catch-up after downtime and pauses, against an oracle that looks at every second."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from core.schedules import (
    GRACE_MS,
    CatchUp,
    Pace,
    Rules,
    Segment,
    due,
    has_unsettled,
    jitter_of,
    wakes_at,
)
from core.timing import Cron, Every, Once, Timing, last_tick, next_tick, ticks

START_MS = 1_774_744_200_000
"""Half an hour before clocks change in Berlin."""
SECOND_MS = 1000
LENGTH_S = 400

times = st.integers(0, LENGTH_S * SECOND_MS).map(lambda after: START_MS + after)
timings: st.SearchStrategy[Timing] = st.one_of(
    st.builds(Every, st.integers(1000, 90_000), st.integers(-10_000, 10_000)),
    st.sampled_from(["* * * * * *", "*/7 * * * * *", "30 * * * * *", "*/2 * * * *"]).map(
        lambda text: Cron(text, "Europe/Berlin")
    ),
    times.map(Once),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Segment]:
    """Some segments in a row, the last without an end."""
    cuts = sorted(draw(st.lists(times, min_size=1, max_size=5, unique=True)))
    ends: list[int | None] = [*cuts[1:], None]
    return [
        Segment(since, until, draw(timings), draw(st.sampled_from(Pace)))
        for since, until in zip(cuts, ends, strict=True)
    ]


class Seen(NamedTuple):
    """A tick as the oracle sees it."""

    at_ms: int
    segment: int
    paused: bool


def every_tick(segments: list[Segment], through_ms: int, now_ms: int) -> list[Seen]:
    """Ask each millisecond that can be a tick, by the definition of each kind."""
    found = []
    for number, segment in enumerate(segments):
        until_ms = now_ms if segment.until_ms is None else min(now_ms, segment.until_ms)
        first = max(through_ms, segment.since_ms) + 1
        found += [
            Seen(at, number, segment.pace is Pace.PAUSED) for at in _moments(segment.timing, first, until_ms)
        ]
    return found


def _moments(timing: Timing, first_ms: int, until_ms: int) -> list[int]:
    match timing:
        case Once():
            return [timing.at_ms] if first_ms <= timing.at_ms <= until_ms else []
        case Every():
            return [
                at for at in range(first_ms, until_ms + 1) if not (at - timing.anchor_ms) % timing.every_ms
            ]
        case Cron():
            second, minute = (
                timing.expression.split()[:2] if len(timing.expression.split()) == 6 else ("0", "*/2")
            )
            return [
                at
                for at in range(-(-first_ms // SECOND_MS) * SECOND_MS, until_ms + 1, SECOND_MS)
                if _matches(second, at // SECOND_MS % 60) and _matches(minute, at // 60_000 % 60)
            ]


def _matches(field: str, value: int) -> bool:
    if field == "*":
        return True
    return value % int(field[2:]) == 0 if field.startswith("*/") else value == int(field)


def expected(
    segments: list[Segment], rules: Rules, through_ms: int, now_ms: int
) -> tuple[list[Seen], int | None]:
    """The rule in words: what is late is fired, what was missed is up to the policy."""
    there = every_tick(segments, through_ms, now_ms)
    missed = [tick for tick in there if tick.paused or now_ms - tick.at_ms > GRACE_MS]
    if not missed:
        return there, None
    match rules.catch_up:
        case CatchUp.SKIP:
            return [tick for tick in there if tick not in missed], missed[0].at_ms
        case CatchUp.LATEST:
            return there[-1:], missed[0].at_ms
        case CatchUp.ALL:
            return [tick for tick in there if now_ms - tick.at_ms <= rules.window_ms], missed[0].at_ms


rules = st.builds(Rules, st.sampled_from(CatchUp), st.integers(GRACE_MS, 600_000))


@given(histories(), rules, times, times)
def test_what_fires_is_what_the_policy_says_of_each_tick(
    segments: list[Segment], rules: Rules, through_ms: int, now_ms: int
) -> None:
    answer = due(segments, rules, through_ms, now_ms, limit=10_000)
    if segments[-1].pace is Pace.PAUSED or not every_tick(segments, through_ms, now_ms):
        assert answer is None
        return
    assert answer is not None
    fire, missed = expected(segments, rules, through_ms, now_ms)
    assert [(tick.at_ms, tick.segment) for tick in answer.fire] == [(t.at_ms, t.segment) for t in fire]
    assert (answer.through_ms, answer.missed_since_ms) == (now_ms, missed)


@given(histories(), rules, times, st.lists(times, min_size=1, max_size=8), st.integers(1, 20))
def test_looking_often_and_firing_a_few_at_a_time_fires_nothing_twice_and_all_that_is_in_time(
    segments: list[Segment], rules: Rules, through_ms: int, looks: list[int], limit: int
) -> None:
    fired: list[int] = []
    begin_ms = through_ms
    for now_ms in sorted(looks):
        while (answer := due(segments, rules, through_ms, now_ms, limit)) is not None:
            assert len(answer.fire) <= limit
            assert answer.through_ms > through_ms
            fired += [tick.at_ms for tick in answer.fire]
            through_ms = answer.through_ms
    assert fired == sorted(set(fired))
    valid = {tick.at_ms for tick in every_tick(segments, begin_ms, max(looks))}
    assert set(fired) <= valid
    if rules.catch_up is CatchUp.ALL and rules.window_ms >= LENGTH_S * SECOND_MS:
        assert segments[-1].pace is Pace.PAUSED or set(fired) == valid


@given(histories(), times)
def test_it_wakes_at_the_first_tick_that_is_to_be_settled(segments: list[Segment], through_ms: int) -> None:
    there = every_tick(segments, through_ms, START_MS + LENGTH_S * SECOND_MS)
    wakes_ms = wakes_at(segments, through_ms)
    if segments[-1].pace is Pace.PAUSED:
        assert wakes_ms is None
    elif there:
        assert wakes_ms == there[0].at_ms
        assert due(segments, Rules(CatchUp.SKIP, GRACE_MS), through_ms, wakes_ms, 1) is not None
        assert due(segments, Rules(CatchUp.SKIP, GRACE_MS), through_ms, wakes_ms - 1, 1) is None


@given(timings, times, times)
def test_the_last_tick_is_the_last_of_all(timing: Timing, after_ms: int, until_ms: int) -> None:
    all_ticks = list(ticks(timing, after_ms, until_ms))
    assert all_ticks == _moments(timing, after_ms + 1, until_ms)
    assert last_tick(timing, after_ms, until_ms) == (all_ticks[-1] if all_ticks else None)
    assert next_tick(timing, after_ms) == next(iter(all_ticks), next_tick(timing, after_ms))


@given(histories(), times)
def test_a_segment_without_unsettled_ticks_may_be_forgotten(segments: list[Segment], through_ms: int) -> None:
    kept = [
        segment
        for segment in segments[:-1]
        if segment.until_ms is not None and has_unsettled(segment, through_ms, segment.until_ms)
    ]
    now_ms, rules = START_MS + LENGTH_S * SECOND_MS, Rules(CatchUp.ALL, 10 * LENGTH_S * SECOND_MS)
    whole = due(segments, rules, through_ms, now_ms, 10_000)
    less = due([*kept, segments[-1]], rules, through_ms, now_ms, 10_000)
    assert (whole is None) == (less is None)
    if whole is not None and less is not None:
        assert [tick.at_ms for tick in whole.fire] == [tick.at_ms for tick in less.fire]


@given(st.integers(0, 2**45), st.integers(1, 100_000))
def test_jitter_is_below_its_limit_and_the_same_for_all(at_ms: int, jitter_ms: int) -> None:
    drawn = jitter_of("a", at_ms, jitter_ms)
    assert 0 <= drawn < jitter_ms
    assert drawn == jitter_of("a", at_ms, jitter_ms)
    assert jitter_of("a", at_ms, 0) == 0


def test_jitter_spreads_evenly() -> None:
    drawn = [jitter_of("a", at_ms, 1000) for at_ms in range(0, 4_000_000, 1000)]
    assert 480 < sum(drawn) / len(drawn) < 520
    assert len({jitter_of(name, 0, 1000) for name in "abcdefghij"}) > 5
