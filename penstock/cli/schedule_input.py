"""A schedule as typed on the command line, checked before it is written."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import orjson
import typer

from core.cron import CronError, check_cron
from core.schedules import GRACE_MS, Overlap
from core.timing import EVERY_MIN_MS
from penstock.cli.job_input import explained
from schemas.job import LABELS_MAX
from schemas.job_parser import parse_job
from schemas.rejection import Rejection
from schemas.schedules import LABEL_SCHEDULE, LABEL_TICK, OWN_LABELS, Defined, Plan, tick_record
from schemas.times import ceil_ms, parse_rfc3339
from schemas.topics import RECORD_MAX_BYTES, RouteMap

NAME_MAX_CHARS = 100
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_ROOM_BYTES = 1024
"""What a tick may add to a job whose sample was measured: a longer time, a trace header."""


def check_name(name: str) -> str:
    """Refuse what is no name of a schedule.

    Raises
    ------
    typer.BadParameter
        With the remedy.
    """
    if len(name) > NAME_MAX_CHARS or not _NAME.fullmatch(name):
        raise typer.BadParameter(
            f"NAME {name!r}: use lower-case letters and digits, separated by single '.', '_' or '-', at most "
            f"{NAME_MAX_CHARS} characters"
        )
    return name


def timing_of(
    cron: str | None, zone: str | None, every: timedelta | None, anchor: str | None, at: str | None
) -> dict[str, Any]:
    """Give the members of the plan that say when it ticks.

    Raises
    ------
    typer.BadParameter
        Not exactly one way was given, or it never ticks.
    """
    if sum(given is not None for given in (cron, every, at)) != 1:
        raise typer.BadParameter("say when it ticks by one of --cron, --every and --at")
    if zone is not None and cron is None:
        raise typer.BadParameter("--zone belongs to --cron: an interval and a time mean the same everywhere")
    if anchor is not None and every is None:
        raise typer.BadParameter("--anchor belongs to --every")
    if cron is not None:
        try:
            check_cron(cron, zone or "UTC")
        except CronError as error:
            raise typer.BadParameter(f"--cron: {error}") from error
        return {"cron": cron, "zone": zone or "UTC"}
    if every is not None:
        every_ms = round(every.total_seconds() * 1000)
        if every_ms < EVERY_MIN_MS:
            raise typer.BadParameter(f"--every is {every.total_seconds():g}s; the shortest interval is 1s")
        return {"every_ms": every_ms, "anchor_ms": 0 if anchor is None else _ms(anchor)}
    return {"at_ms": _ms(at or "")}


def window_ms_of(window: timedelta) -> int:
    """Read the catch-up window.

    Raises
    ------
    typer.BadParameter
        It is shorter than what counts as merely late.
    """
    window_ms = round(window.total_seconds() * 1000)
    if window_ms < GRACE_MS:
        raise typer.BadParameter(
            f"--catch-up-window is {window_ms / 1000:g}s; ticks late by up to {GRACE_MS / 1000:g}s always "
            f"fire, so it is at least {GRACE_MS // 1000}s"
        )
    return window_ms


def plan_of(
    members: Mapping[str, Any],
    timing: Mapping[str, Any],
    *,
    overlap: Overlap,
    jitter: timedelta | None,
    expires_after: timedelta | None,
    deadline_after: timedelta | None,
    paused: bool,
) -> Plan:
    """Give the plan of a new definition."""
    return Plan(
        job=msgspec.Raw(orjson.dumps(dict(members))),
        **timing,
        jitter_ms=_length_ms(jitter) or 0,
        overlap=overlap,
        expires_after_ms=_length_ms(expires_after),
        deadline_after_ms=_length_ms(deadline_after),
        paused=paused,
    )


def check_job(routes: RouteMap, defined: Defined, pools: Sequence[str]) -> None:
    """Refuse a schedule whose jobs would be refused one by one.

    Raises
    ------
    typer.BadParameter
        Naming the field, the value and the remedy.
    """
    members = orjson.loads(bytes(defined.plan.job))
    labels = members.get("labels", {})
    taken = {LABEL_SCHEDULE, LABEL_TICK} & labels.keys()
    if taken:
        raise typer.BadParameter(f"--label {min(taken)}: every tick sets this label itself; choose another")
    if len(labels) > LABELS_MAX - OWN_LABELS:
        raise typer.BadParameter(
            f"--label: {len(labels)} labels; a tick adds {OWN_LABELS}, so at most {LABELS_MAX - OWN_LABELS}"
        )
    pool = members.get("pool", "default")
    if pool not in pools:
        raise typer.BadParameter(
            f"--pool {pool!r}: there is no such pool; use one of {', '.join(sorted(pools))}"
        )
    sample = tick_record(routes, defined, defined.plan, 0)
    assert sample.value is not None
    refusal = parse_job(sample.value)
    if isinstance(refusal, Rejection):
        raise typer.BadParameter(f"its jobs would be refused: {explained(refusal)}")
    if len(sample.value) > RECORD_MAX_BYTES - _ROOM_BYTES:
        raise typer.BadParameter(
            f"its jobs would have {len(sample.value)} bytes, {RECORD_MAX_BYTES - _ROOM_BYTES} are allowed: "
            "store the data elsewhere and send its address in the payload"
        )


def _ms(text: str) -> int:
    return ceil_ms(parse_rfc3339(text))


def _length_ms(length: timedelta | None) -> int | None:
    return None if length is None else round(length.total_seconds() * 1000)
