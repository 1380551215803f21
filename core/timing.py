"""When a schedule ticks: by cron, at an interval, or once. Times are milliseconds since 1970."""

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from core.cron import next_cron_ms

EVERY_MIN_MS = 1000
"""Shortest interval, that of the finest cron expression: what runs more often is a service."""
_SECOND_MS = 1000


class Cron(NamedTuple):
    """Ticks by a cron expression in a time zone."""

    expression: str
    zone: str


class Every(NamedTuple):
    """Ticks at ``anchor_ms`` and every ``every_ms`` before and after it, whatever clocks on walls do."""

    every_ms: int
    anchor_ms: int


class Once(NamedTuple):
    """Ticks once."""

    at_ms: int


Timing = Cron | Every | Once


def next_tick(timing: Timing, after_ms: int) -> int | None:
    """Give the first tick after a time; None when there is none any more."""
    match timing:
        case Cron():
            return next_cron_ms(timing.expression, timing.zone, after_ms)
        case Every():
            passed = (after_ms - timing.anchor_ms) // timing.every_ms
            return timing.anchor_ms + (passed + 1) * timing.every_ms
        case Once():
            return timing.at_ms if timing.at_ms > after_ms else None
        case _:
            assert_never(timing)


def last_tick(timing: Timing, after_ms: int, until_ms: int) -> int | None:
    """Give the last tick in ``(after_ms, until_ms]``; None when there is none."""
    found = next_tick(timing, after_ms)
    if found is None or found > until_ms:
        return None
    if isinstance(timing, Every):
        return until_ms - (until_ms - timing.anchor_ms) % timing.every_ms
    low, high = found, until_ms
    # After `low` stands the best known, after `high` nothing: ticks are at full seconds.
    while high - low > _SECOND_MS:
        middle = (low + high) // 2
        later = next_tick(timing, middle)
        if later is None or later > until_ms:
            high = middle
        else:
            low = found = later
    later = next_tick(timing, low)
    return found if later is None or later > until_ms else later


def ticks(timing: Timing, after_ms: int, until_ms: int) -> Iterator[int]:
    """Give the ticks in ``(after_ms, until_ms]``, in order."""
    tick = next_tick(timing, after_ms)
    while tick is not None and tick <= until_ms:
        yield tick
        tick = next_tick(timing, tick)
