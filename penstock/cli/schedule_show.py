"""How schedules are shown to people."""

from datetime import UTC, datetime
from typing import Any

from core.cron import CronError, zone_of
from core.schedules import CatchUp, wakes_at
from penstock.cli.schedule_topic import now_ms
from penstock.cli.times import age, span
from schemas.schedule_book import View
from schemas.schedule_edits import next_ticks
from schemas.schedule_text import job_members, shown_plan, state_of, ticks_text
from schemas.schedules import Plan, rfc3339

LATE_SHOWN_MS = 5_000
"""A tick that nobody fired for so long is named: a scheduler that runs is faster."""
COLUMNS = ("name", "state", "ticks", "type", "next", "last", "fired", "version")


def members_of(view: View, count: int) -> dict[str, Any]:
    """Give everything about a schedule, with its next ticks."""
    defined, plan = view.defined, view.defined.plan
    now = now_ms()
    try:
        upcoming = next_ticks(plan, max(now, view.fired.through_ms), max(count, 1))
        wakes_ms = wakes_at(view.segments, view.fired.through_ms)
        state = state_of(plan, upcoming[0] if upcoming else None)
    except CronError as error:
        # Written by another version, or with another database of zones.
        upcoming, wakes_ms, state = [], None, f"broken: {error}"
    is_late = wakes_ms is not None and wakes_ms < now - LATE_SHOWN_MS
    return {
        "name": defined.name,
        "state": state,
        "ticks": ticks_text(plan),
        "zone": plan.zone if plan.cron is not None else None,
        "catch_up": str(defined.catch_up),
        "catch_up_window": span(defined.window_ms / 1000) if defined.catch_up is CatchUp.ALL else None,
        "overlap": str(plan.overlap),
        "jitter": span(plan.jitter_ms / 1000) if plan.jitter_ms else None,
        "expires_after": _span(plan.expires_after_ms),
        "deadline_after": _span(plan.deadline_after_ms),
        "job": job_members(shown_plan(plan)),
        "last": None if view.fired.last_ms is None else rfc3339(view.fired.last_ms),
        "fired": view.fired.fired,
        "late_since": rfc3339(wakes_ms) if is_late and wakes_ms is not None else None,
        "version": defined.version,
        "changed": rfc3339(view.defined_ms),
        "by": defined.by,
        "next": [] if plan.paused else [shown(plan, tick) for tick in upcoming[:count]],
    }


def cells_of(view: View) -> tuple[object, ...]:
    """Give its line of the list."""
    members = members_of(view, 1)
    last = view.fired.last_ms
    ago = None if last is None else datetime.fromtimestamp(last / 1000, UTC)
    return (
        view.defined.name,
        members["state"] if members["late_since"] is None else "late",
        members["ticks"] if members["zone"] in (None, "UTC") else f"{members['ticks']} ({members['zone']})",
        members["job"]["type"],
        next(iter(members["next"]), ""),
        f"{age(ago, datetime.now(UTC))} ago" if ago is not None else "",
        view.fired.fired,
        view.defined.version,
    )


def shown(plan: Plan, tick_ms: int) -> str:
    """Write a tick in the schedule's own zone."""
    if plan.cron is None or plan.zone == "UTC":
        return rfc3339(tick_ms)
    return datetime.fromtimestamp(tick_ms / 1000, zone_of(plan.zone)).isoformat()


def upcoming_text(plan: Plan, upcoming: list[int]) -> str:
    """Write the next ticks, one a line."""
    if not upcoming:
        return "it never ticks again: its time had passed by the broker's clock; give a time ahead"
    return "\n".join(f"next {shown(plan, tick)}" for tick in upcoming)


def _span(length_ms: int | None) -> str | None:
    return None if length_ms is None else span(length_ms / 1000)
