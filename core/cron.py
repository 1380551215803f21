"""Cron expressions of five and six fields: when they tick, in any time zone.

The rules are those of ``cronsim``, which are Debian's. What has a fixed time runs once on the days clocks
change: one that falls into the gap at its end, one in the repeated hour in its first pass. What begins with
``*`` for minute or hour, and every expression of six fields, follows the clock on the wall.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_HOUR_S = 3600
_LOOK = timedelta(hours=12)
"""Step in which changes of a zone's offset are looked for; no zone ever changed twice within it."""
_ZONES = 256
"""Zones kept in memory; a pipeline uses a handful."""
_TICKS = 1024
"""Answers kept: whoever decides about one schedule asks for the same tick several times, at 60 us each."""


class CronError(ValueError):
    """It is no cron expression, no zone, or never ticks; the message says which, and the remedy."""


@lru_cache(maxsize=_ZONES)
def zone_of(name: str) -> tzinfo:
    """Give a time zone by its name in the tz database, such as ``Europe/Berlin``.

    Taken from the package ``tzdata`` alone, never from the machine: all schedulers of one installation must
    agree on every tick, also on the day a government changes its mind.

    Raises
    ------
    CronError
        There is no such zone.
    """
    if name == "UTC":
        return UTC
    if name not in zone_names():
        raise CronError(
            f"{name!r} is no time zone: write a name such as Europe/Berlin, America/New_York or UTC"
        )
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Give the names of all zones."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text().split())


def check_cron(expression: str, zone: str) -> None:
    """Refuse what is no expression, and what never ticks.

    Raises
    ------
    CronError
        With the remedy.
    """
    tz = zone_of(zone)
    try:
        found = _first(expression, tz, _EPOCH)
    except CronSimError as error:
        raise CronError(
            f"{expression!r} is no cron expression ({error}): write five fields, minute hour day month "
            "weekday, such as '30 2 * * 1-5', or six with the second first"
        ) from error
    if found is None:
        raise CronError(f"{expression!r} never ticks: no year has such a day")


@lru_cache(maxsize=_TICKS)
def next_cron_ms(expression: str, zone: str, after_ms: int) -> int | None:
    """Give the first tick after a time, both in milliseconds since 1970; None when there is none.

    The ticks are a set that does not depend on where one begins to look, so whoever goes on from anywhere
    meets the same ones.
    """
    tz = zone_of(zone)
    after = _EPOCH + timedelta(milliseconds=after_ms)
    found = _first(expression, tz, after)
    if not _is_fixed(expression):
        # cronsim walks by whole hours: past a shift of half an hour it would look at the half hours only.
        for begin in _odd_shifts(tz, after, found):
            again = _first(expression, tz, max(after, begin - _SECOND))
            if again is not None and (found is None or again < found):
                found = again
    return None if found is None else (found - _EPOCH) // timedelta(milliseconds=1)


def _first(expression: str, tz: tzinfo, after: datetime) -> datetime | None:
    """Give what cronsim says, without what lies before: it forgets which pass of a repeated hour it is in."""
    for tick in CronSim(expression, after.astimezone(tz)):
        found = tick.astimezone(UTC)
        if found > after:
            return found
    return None


def _is_fixed(expression: str) -> bool:
    """Whether the clock's changes are evened out, as cronsim decides it."""
    fields = expression.split()
    return len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")


def _odd_shifts(tz: tzinfo, after: datetime, until: datetime | None) -> Iterator[datetime]:
    """Give where to look again: at each change by no whole hours, and at the next full hour after it.

    Also after one of the hour before: from within that hour cronsim would go back before the change.
    """
    if tz is UTC or until is None:
        return
    at = after - timedelta(seconds=_HOUR_S)
    while at < until:
        then = at + _LOOK
        shift = _offset(tz, then) - _offset(tz, at)
        if shift.total_seconds() % _HOUR_S:
            change = _change(tz, at, then)
            yield change
            local = change.astimezone(tz)
            yield change + timedelta(seconds=_HOUR_S - local.minute * 60 - local.second)
        at = then


def _offset(tz: tzinfo, at: datetime) -> timedelta:
    offset = at.astimezone(tz).utcoffset()
    assert offset is not None
    return offset


def _change(tz: tzinfo, low: datetime, high: datetime) -> datetime:
    """Give the first second with the offset that holds at ``high``."""
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if _offset(tz, middle) == _offset(tz, high):
            high = middle
        else:
            low = middle
    return high
