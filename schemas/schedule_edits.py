"""What a person may do to a schedule, as the record that says so. Pure."""

from collections.abc import Iterator
from itertools import islice

import msgspec

from core.log import size_bytes
from core.schedules import has_unsettled
from core.timing import next_tick, ticks
from schemas.schedule_book import View
from schemas.schedules import Defined, Deleted, Past, Plan, schedule_record
from schemas.topics import APPEND_MAX_BYTES, RouteMap

PAST_MAX = 20
"""Most earlier plans a definition carries; more of them have ticks to fire only while no scheduler runs."""


class UnsettledError(Exception):
    """Earlier edits have ticks that nobody fired yet, more than a record takes."""


def carried(view: View) -> tuple[Past, ...]:
    """Give the plans so far whose ticks may not all have fired when an edit takes effect."""
    kept = [
        Past(segment.since_ms, past.plan, segment.until_ms)
        for past, segment in zip(view.defined.before, view.segments, strict=False)
        if segment.until_ms is not None and has_unsettled(segment, view.fired.through_ms, segment.until_ms)
    ]
    return (*kept, Past(view.segments[-1].since_ms, view.defined.plan))


def edited(view: View, changed: Defined) -> Defined:
    """Give the definition that replaces one: the same schedule, one version on."""
    return msgspec.structs.replace(
        changed,
        incarnation=view.defined.incarnation,
        version=view.defined.version + 1,
        before=carried(view),
    )


def with_pause(view: View, *, paused: bool, by: str) -> Defined:
    """Give the definition that pauses a schedule, or lets it go on."""
    plan = msgspec.structs.replace(view.defined.plan, paused=paused)
    return edited(view, msgspec.structs.replace(view.defined, plan=plan, by=by))


def ended(view: View, by: str) -> Deleted:
    """Give the record that deletes a schedule."""
    return Deleted(view.defined.name, view.defined.incarnation, view.defined.version + 1, by)


def check_size(routes: RouteMap, defined: Defined) -> None:
    """Refuse a definition that carries too much.

    Raises
    ------
    UnsettledError
        With the remedy.
    """
    too_large = size_bytes(schedule_record(routes, defined)) > APPEND_MAX_BYTES
    if too_large or len(defined.before) > PAST_MAX:
        raise UnsettledError(
            f"{len(defined.before)} earlier versions of schedule {defined.name} have ticks that no scheduler "
            "has fired yet: start one (`penstock up`, `penstock run scheduler`), then edit again"
        )


def next_ticks(plan: Plan, after_ms: int, count: int) -> list[int]:
    """Give the next ticks after a time, as if the schedule were not paused."""
    return list(islice(_ticks(plan, after_ms), count))


def ticks_between(plan: Plan, from_ms: int, to_ms: int) -> Iterator[int]:
    """Give the ticks of a range, both ends included, as the plan is now."""
    return ticks(plan.timing, from_ms - 1, to_ms)


def _ticks(plan: Plan, after_ms: int) -> Iterator[int]:
    tick = next_tick(plan.timing, after_ms)
    while tick is not None:
        yield tick
        tick = next_tick(plan.timing, tick)
