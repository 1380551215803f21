"""Cron in time zones, on the days clocks change: what ``cronsim`` says, wherever one begins to look."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from core.cron import CronError, check_cron, next_cron_ms, zone_names, zone_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHOLE_HOURS = {
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "Europe/Dublin": ("2026-03-29", "2026-10-25"),
    "America/Havana": ("2026-03-08", "2026-11-01"),
    "America/Santiago": ("2026-04-05", "2026-09-06"),
    "Africa/Casablanca": ("2026-02-15", "2026-03-22"),
    "Australia/Sydney": ("2026-04-04", "2026-10-03"),
    "Antarctica/Troll": ("2026-03-29", "2026-10-25"),
}
"""Zones and the days on which their clocks go back or forward: by one hour, by two in Troll."""
HALF_HOURS = {
    "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"),
    "Asia/Pyongyang": ("2015-08-14", "2018-05-04"),
    "America/Caracas": ("2007-12-09", "2016-05-01"),
}
"""Zones whose clocks changed by half an hour, both ways."""
BEFORE, AFTER = timedelta(hours=36), timedelta(hours=60)

hours = st.sampled_from(["*", "*/2", "*/6", "0", "1", "2", "3", "1,2", "1-3", "0-4", "2,3", "23", "0,1"])


def numbers(top: int) -> st.SearchStrategy[str]:
    """One field: a star, steps, one number, or some."""
    one = st.integers(0, top).map(str)
    some = st.lists(st.integers(0, top), min_size=2, max_size=3, unique=True).map(
        lambda n: ",".join(map(str, n))
    )
    return st.one_of(st.just("*"), st.sampled_from(["*/7", "*/15", "*/20", "*/30"]), one, some)


fives = st.builds("{} {} * * *".format, numbers(59), hours)
sixes = st.builds("{} {}".format, st.sampled_from(["0", "30", "15,45"]), fives)
fixed = st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23))


def changes(zones: Mapping[str, tuple[str, ...]]) -> st.SearchStrategy[tuple[str, datetime]]:
    """A zone and the day of one of its changes."""
    days = [(zone, datetime.fromisoformat(day).replace(tzinfo=UTC)) for zone in zones for day in zones[zone]]
    return st.sampled_from(days)


def near(day: datetime, draw: st.DataObject) -> datetime:
    return day + timedelta(milliseconds=draw.draw(st.integers(-24 * 3_600_000, 36 * 3_600_000)))


def ms(time: datetime) -> int:
    return (time - EPOCH) // timedelta(milliseconds=1)


def own_times(expression: str, zone: str, day: datetime) -> list[datetime]:
    """What cronsim gives, one after another."""
    found: list[datetime] = []
    for tick in CronSim(expression, (day - BEFORE).astimezone(zone_of(zone))):
        if tick.astimezone(UTC) > day + AFTER:
            return found
        found.append(tick.astimezone(UTC))
    return found


def wall_times(expression: str, zone: str, day: datetime) -> list[datetime]:
    """Look at the clock on the wall at every second that can match: the rule of what follows it."""
    fields = CronSim(expression, day)
    found: list[datetime] = []
    minute = day - BEFORE
    while minute <= day + AFTER:
        wall = minute.astimezone(zone_of(zone))
        if wall.minute in fields.minutes and wall.hour in fields.hours:
            found += [minute + timedelta(seconds=second) for second in sorted(fields.seconds)]
        minute += timedelta(minutes=1)
    return found


def check(expression: str, zone: str, at: datetime, ticks: list[datetime]) -> None:
    later = [tick for tick in ticks if tick > at]
    assume(later)
    assert next_cron_ms(expression, zone, ms(at)) == ms(later[0]), (expression, zone, at)


@given(changes(WHOLE_HOURS), st.one_of(fives, sixes), st.data())
def test_from_anywhere_the_next_tick_is_the_one_cronsim_comes_to(
    change: tuple[str, datetime], expression: str, data: st.DataObject
) -> None:
    zone, day = change
    check(expression, zone, near(day, data), own_times(expression, zone, day))


@given(changes(WHOLE_HOURS | HALF_HOURS), st.one_of(sixes, numbers(59).map("{} * * * *".format)), st.data())
def test_what_follows_the_clock_on_the_wall_ticks_whenever_the_wall_says_so(
    change: tuple[str, datetime], expression: str, data: st.DataObject
) -> None:
    # Also where cronsim, walking by whole hours, steps over half an hour of the clock.
    zone, day = change
    check(expression, zone, near(day, data), wall_times(expression, zone, day))


@given(changes(WHOLE_HOURS | HALF_HOURS), fixed)
def test_a_fixed_time_ticks_once_on_each_day_also_when_clocks_change(
    change: tuple[str, datetime], expression: str
) -> None:
    zone, day = change
    # Where the clock jumps over the time to the next day, that day has the tick.
    assume(not (zone == "Asia/Pyongyang" and day.year == 2018 and expression.endswith("23 * * *")))
    days = [day.date() + timedelta(days=number) for number in range(-1, 3)]
    tick: int | None = ms(day - BEFORE - timedelta(hours=24))
    seen = []
    while tick is not None and tick < ms(day + timedelta(days=5)):
        seen.append((EPOCH + timedelta(milliseconds=tick)).astimezone(zone_of(zone)).date())
        tick = next_cron_ms(expression, zone, tick)
    assert [seen[1:].count(one) for one in days] == [1] * 4


@given(changes(WHOLE_HOURS | HALF_HOURS), st.one_of(fives, sixes), st.data())
def test_the_same_ticks_are_met_whoever_goes_on_from_wherever(
    change: tuple[str, datetime], expression: str, data: st.DataObject
) -> None:
    zone, day = change
    at = near(day, data)
    tick = next_cron_ms(expression, zone, ms(at))
    assert tick is not None
    assert tick > ms(at)
    between = data.draw(st.integers(ms(at), tick - 1))
    assert next_cron_ms(expression, zone, between) == tick


def test_a_time_that_is_jumped_over_at_the_end_of_a_day_ticks_as_the_next_begins() -> None:
    # In Pyongyang 23:30 of 4 May 2018 was 00:00 of the next day.
    jump = datetime(2018, 5, 4, 15, 0, tzinfo=UTC)
    assert jump.astimezone(zone_of("Asia/Pyongyang")).isoformat() == "2018-05-05T00:00:00+09:00"
    ticks = [ms(jump - timedelta(hours=24))]
    for _ in range(2):
        tick = next_cron_ms("30 23 * * *", "Asia/Pyongyang", ticks[-1])
        assert tick is not None
        ticks.append(tick)
    assert ticks[1:] == [ms(jump), ms(jump + timedelta(hours=23, minutes=30))]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-03-28T00:00:00+00:00", ["2026-03-28T01:30:00", "2026-03-29T01:00:00", "2026-03-30T00:30:00"]),
        ("2026-10-24T00:00:00+00:00", ["2026-10-24T00:30:00", "2026-10-25T00:30:00", "2026-10-26T01:30:00"]),
    ],
)
def test_half_past_two_in_berlin(day: str, expected: list[str]) -> None:
    # In spring there is none: it runs at three. In autumn there are two: it runs in the first.
    tick: int | None = ms(datetime.fromisoformat(day))
    for time in expected:
        assert tick is not None
        tick = next_cron_ms("30 2 * * *", "Europe/Berlin", tick)
        assert tick == ms(datetime.fromisoformat(time).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("expression", "zone", "named"),
    [
        ("61 * * * *", "UTC", "Bad minute"),
        ("* * * *", "UTC", "number of fields"),
        ("@daily", "UTC", "five fields"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("* * * * *", "Europe/Berln", "no time zone"),
        ("* * * * *", "../../etc/passwd", "no time zone"),
    ],
)
def test_what_can_never_tick_is_refused_with_the_remedy(expression: str, zone: str, named: str) -> None:
    with pytest.raises(CronError, match=named):
        check_cron(expression, zone)


def test_every_zone_of_the_database_can_be_read() -> None:
    assert len(zone_names()) > 400
    for name in zone_names():
        assert zone_of(name).utcoffset(datetime(2026, 7, 1)) is not None  # noqa: DTZ001 - on its wall
