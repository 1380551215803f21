"""``penstock.replay``: runs for a recorded time and ends in a recorded outcome; for demos and tests."""

import asyncio
import json
import os
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.context import Context
from penstock.errors import OverloadError, PermanentError, TaskTimeout, TransientError
from penstock.task import task

_EXIT_CRASH = 70

Outcome = Literal["ok", "permanent", "transient", "overload", "timeout", "crash"]


class ReplayPayload(BaseModel):
    """What to replay."""

    model_config = ConfigDict(extra="forbid")

    run_s: float = Field(default=0.0, ge=0, le=86_400, description="Seconds to run.")
    outcome: Outcome = Field(default="ok", description="How to end; `crash` ends the worker process.")
    fail_attempts: int | None = Field(
        default=None,
        ge=0,
        description="Only the first so many attempts end so, later ones succeed; a crash counts dispatches.",
    )
    effects_file: str | None = Field(
        default=None, description="File that gets one JSON line at the start and one at the end."
    )


@task("penstock.replay", payload=ReplayPayload)
async def replay(ctx: Context, payload: ReplayPayload) -> dict[str, object]:
    """Run for ``run_s``, then end in ``outcome``.

    The effects file is the witness of a demo: one atomic append a line, no unique index, so a repeated
    run shows. A crash leaves no end line.
    """
    _record(ctx, payload.effects_file, "start", None)
    ending = "cancelled"
    try:
        if payload.run_s > 0:
            await asyncio.sleep(payload.run_s)
        ending = _ending(ctx, payload)
        if ending == "crash":
            os._exit(_EXIT_CRASH)
    finally:
        _record(ctx, payload.effects_file, "end", ending)
    _raise_for(ending)
    return {"run_s": payload.run_s, "attempt": ctx.attempt}


def _ending(ctx: Context, payload: ReplayPayload) -> Outcome:
    if payload.fail_attempts is None:
        return payload.outcome
    # A lost dispatch uses up no attempt, so a crash counted by attempts would never end.
    turn = ctx.dispatch if payload.outcome == "crash" else ctx.attempt
    return payload.outcome if turn <= payload.fail_attempts else "ok"


def _raise_for(ending: str) -> None:
    match ending:
        case "permanent":
            raise PermanentError("replayed permanent failure")
        case "transient":
            raise TransientError("replayed transient failure")
        case "overload":
            raise OverloadError("replayed overload", retry_after_s=1.0)
        case "timeout":
            raise TaskTimeout("replayed timeout")
        case _:
            return


def _record(ctx: Context, path: str | None, event: str, outcome: str | None) -> None:
    if path is None:
        return
    row: dict[str, object] = {
        "job_id": ctx.job_id,
        "dispatch": ctx.dispatch,
        "attempt": ctx.attempt,
        "event": event,
        "at": time.time(),
        "pid": os.getpid(),
    }
    if outcome is not None:
        row["outcome"] = outcome
    # One write on an O_APPEND descriptor: lines of other processes cannot fall between.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(handle, json.dumps(row).encode() + b"\n")
    finally:
        os.close(handle)
