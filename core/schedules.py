"""Which ticks of a schedule fire, and when somebody must look again. Pure.

A schedule's past is cut into *segments*: stretches of time in which one plan was in force. An edit, a pause
and a resume each begin one at the append time of their record, so which ticks there are is a function of
the log alone, whoever reads it and whenever. What is fired is kept as one time, ``through_ms``: every tick
up to it is settled, fired or passed over.
"""

import hashlib
from collections.abc import Iterator, Sequence
from enum import Enum, StrEnum, auto
from itertools import islice
from typing import NamedTuple, assert_never

from core.timing import Timing, last_tick, next_tick, ticks

GRACE_MS = 60_000
"""A tick that fires so much after its time is only late; one that would be later was missed, and the catch-up
policy decides. Above the 30 s after which a scheduler that died is replaced."""


class CatchUp(StrEnum):
    """What becomes of ticks that were missed: nobody could fire them, or the schedule was paused."""

    SKIP = "skip"
    """None of them fires."""
    LATEST = "latest"
    """The newest tick fires, for all of them."""
    ALL = "all"
    """All fire that lie within a window before now."""


class Overlap(StrEnum):
    """What a tick does while an earlier one's job has not ended."""

    ALLOW = "allow"
    """Run beside it."""
    SKIP = "skip"
    """Not run: its job ends as ``skipped``."""
    QUEUE = "queue"
    """Run after it."""


class Pace(Enum):
    """Whether a schedule fires."""

    ACTIVE = auto()
    PAUSED = auto()


class Segment(NamedTuple):
    """A plan and the time it was in force: ``(since_ms, until_ms]``."""

    since_ms: int
    until_ms: int | None
    """None: it still is."""
    timing: Timing
    pace: Pace

    def end_ms(self, now_ms: int) -> int:
        """Give the last time of it that is not after now."""
        return now_ms if self.until_ms is None else min(self.until_ms, now_ms)


class Rules(NamedTuple):
    """What decides about missed ticks."""

    catch_up: CatchUp
    window_ms: int
    """Of ``CatchUp.ALL``; at least ``GRACE_MS``."""


class Tick(NamedTuple):
    """One tick that fires."""

    at_ms: int
    segment: int
    """Which segment's plan it belongs to."""


class Due(NamedTuple):
    """What follows for one schedule now."""

    fire: tuple[Tick, ...]
    """In order of time."""
    through_ms: int
    """Everything up to here is settled once these are fired."""
    missed_since_ms: int | None
    """The first tick nobody fired in time, for the log; None when there was none."""


def due(segments: Sequence[Segment], rules: Rules, through_ms: int, now_ms: int, limit: int) -> Due | None:
    """Say which ticks fire now; None when there is nothing to settle.

    While the last segment is paused nothing fires, whatever was due before: that is decided at the resume.

    Parameters
    ----------
    now_ms
        Broker time up to which ``segments`` are known to be complete.
    limit
        Most ticks to fire at once; the rest follows from the new ``through_ms``.
    """
    if segments[-1].pace is Pace.PAUSED:
        return None
    first = _first_tick(segments, through_ms, now_ms)
    if first is None:
        return None
    missed = _first_missed(segments, through_ms, now_ms)
    if missed is None:
        return _some(_ticks(segments, through_ms, now_ms), now_ms, limit, None)
    match rules.catch_up:
        case CatchUp.SKIP:
            wanted = _ticks(segments, max(through_ms, now_ms - GRACE_MS - 1), now_ms, skip_paused=True)
        case CatchUp.ALL:
            wanted = _ticks(segments, max(through_ms, now_ms - rules.window_ms - 1), now_ms)
        case CatchUp.LATEST:
            newest = _newest(segments, through_ms, now_ms)
            wanted = iter((newest,))
        case _:
            assert_never(rules.catch_up)
    return _some(wanted, now_ms, limit, missed)


def wakes_at(segments: Sequence[Segment], through_ms: int) -> int | None:
    """Give the broker time from which on something is to be settled; None: not before another record."""
    if segments[-1].pace is Pace.PAUSED:
        return None
    starts = (
        next_tick(segment.timing, max(through_ms, segment.since_ms))
        if segment.until_ms is None
        else _first_in(segment, through_ms, segment.until_ms)
        for segment in segments
    )
    return min((start for start in starts if start is not None), default=None)


def has_unsettled(segment: Segment, through_ms: int, until_ms: int) -> bool:
    """Whether a segment that ended at ``until_ms`` has ticks after ``through_ms``, and must be kept."""
    return _first_in(segment, through_ms, until_ms) is not None


def jitter_of(incarnation: str, at_ms: int, jitter_ms: int) -> int:
    """Give how long after its time a tick's job starts, below ``jitter_ms``; the same for all who ask."""
    if jitter_ms <= 0:
        return 0
    digest = hashlib.blake2b(f"{incarnation}\x00{at_ms}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % jitter_ms


def _some(wanted: Iterator[Tick], now_ms: int, limit: int, missed: int | None) -> Due:
    fire = tuple(islice(wanted, limit + 1))
    if len(fire) <= limit:
        return Due(fire, now_ms, missed)
    return Due(fire[:limit], fire[limit - 1].at_ms, missed)


def _ticks(
    segments: Sequence[Segment], through_ms: int, now_ms: int, *, skip_paused: bool = False
) -> Iterator[Tick]:
    for number, segment in enumerate(segments):
        if skip_paused and segment.pace is Pace.PAUSED:
            continue
        for at_ms in ticks(segment.timing, max(through_ms, segment.since_ms), segment.end_ms(now_ms)):
            yield Tick(at_ms, number)


def _first_tick(segments: Sequence[Segment], through_ms: int, now_ms: int) -> int | None:
    found = (_first_in(segment, through_ms, segment.end_ms(now_ms)) for segment in segments)
    return next((at_ms for at_ms in found if at_ms is not None), None)


def _first_missed(segments: Sequence[Segment], through_ms: int, now_ms: int) -> int | None:
    on_time_ms = now_ms - GRACE_MS
    for segment in segments:
        end_ms = segment.end_ms(now_ms)
        if segment.pace is Pace.ACTIVE:
            end_ms = min(end_ms, on_time_ms - 1)
        found = _first_in(segment, through_ms, end_ms)
        if found is not None:
            return found
    return None


def _first_in(segment: Segment, through_ms: int, end_ms: int) -> int | None:
    start_ms = max(through_ms, segment.since_ms)
    if start_ms >= end_ms:
        return None
    found = next_tick(segment.timing, start_ms)
    return found if found is not None and found <= end_ms else None


def _newest(segments: Sequence[Segment], through_ms: int, now_ms: int) -> Tick:
    for number in range(len(segments) - 1, -1, -1):
        segment = segments[number]
        start_ms, end_ms = max(through_ms, segment.since_ms), segment.end_ms(now_ms)
        at_ms = last_tick(segment.timing, start_ms, end_ms) if start_ms < end_ms else None
        if at_ms is not None:
            return Tick(at_ms, number)
    raise AssertionError("there was a tick to settle")
