"""Schedules as people see them: when they tick in words, their job without what is sensitive."""

from typing import Any

import msgspec

from core.masking import mask
from schemas.codec import encode
from schemas.schedules import Plan

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))


def state_of(plan: Plan, next_ms: int | None) -> str:
    """Say whether a schedule fires: one without any further tick has ended."""
    if plan.paused:
        return "paused"
    return "active" if next_ms is not None else "ended"


def ticks_text(plan: Plan) -> str:
    """Say when it ticks; the zone of an expression stands elsewhere."""
    if plan.cron is not None:
        return plan.cron
    if plan.every_ms is None:
        return "once"
    for unit, unit_ms in _UNITS_MS:
        if plan.every_ms % unit_ms == 0:
            return f"every {plan.every_ms // unit_ms}{unit}"
    return f"every {plan.every_ms}ms"


def shown_plan(plan: Plan) -> Plan:
    """Give a plan whose job has its sensitive values masked."""
    members: dict[str, Any] = msgspec.json.decode(plan.job)
    if "payload" in members:
        masked = mask(encode(members["payload"]), members.get("sensitive", ()))
        members["payload"] = msgspec.Raw(masked)
    return msgspec.structs.replace(plan, job=msgspec.Raw(encode(members)))


def job_members(plan: Plan) -> dict[str, Any]:
    """Give the members of its job."""
    members: dict[str, Any] = msgspec.json.decode(plan.job)
    return members
