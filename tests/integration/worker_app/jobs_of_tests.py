"""Tasks of an app for the worker tests; imported by worker processes only."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from penstock import Context, OverloadError, PermanentError, RetryRule, task


class Email(BaseModel):
    to: str


@task("noop")
async def noop(ctx: Context, payload: Any) -> None:
    return None


@task("echo", timeout="30s", max_attempts=3, retry=RetryRule(base="2s", cap="1m"), uses=["smtp"])
async def echo(ctx: Context, payload: Any) -> dict[str, Any]:
    return {"payload": payload, "job_id": ctx.job_id, "attempt": ctx.attempt, "dispatch": ctx.dispatch}


@task("echo.sync")
def echo_sync(ctx: Context, payload: Any) -> Any:
    return payload


@task("typed", payload=Email)
async def typed(ctx: Context, payload: Email) -> str:
    return payload.to


@task("pid")
async def pid(ctx: Context, payload: Any) -> int:
    return os.getpid()


@task("large")
def large(ctx: Context, payload: Any) -> str:
    return "x" * 60_000


@task("spin.sync")
def spin_sync(ctx: Context, payload: Any) -> None:
    while True:
        pass


@task("spin.async")
async def spin_async(ctx: Context, payload: Any) -> None:
    while True:
        pass


@task("sleep")
async def sleep(ctx: Context, payload: Any) -> str:
    if "file" in payload:
        Path(payload["file"]).touch()  # noqa: ASYNC240
    await asyncio.sleep(payload["s"])
    return "slept"


@task("sleep.sync")
def sleep_sync(ctx: Context, payload: Any) -> str:
    while True:
        ctx.raise_if_cancelled()
        time.sleep(0.01)


@task("deaf")
def deaf(ctx: Context, payload: Any) -> None:
    Path(payload["file"]).touch()
    while True:
        time.sleep(0.01)


@task("deaf.hasty", cancel_grace="100ms")
def deaf_hasty(ctx: Context, payload: Any) -> None:
    deaf(ctx, payload)


@task("blocks")
async def blocks(ctx: Context, payload: Any) -> None:
    Path(payload["file"]).touch()  # noqa: ASYNC240
    time.sleep(payload["s"])  # noqa: ASYNC251


@task("watchful")
async def watchful(ctx: Context, payload: Any) -> str:
    while not ctx.cancelled:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return "saw it"


@task("stubborn")
async def stubborn(ctx: Context, payload: Any) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


@task("limited", concurrency=2)
async def limited(ctx: Context, payload: Any) -> None:
    await asyncio.sleep(payload.get("s", 0.05))


@task("die")
async def die(ctx: Context, payload: Any) -> None:
    await asyncio.sleep(payload.get("after_s", 0))
    os.kill(os.getpid(), signal.SIGSEGV)


@task("leak")
def leak(ctx: Context, payload: Any) -> None:
    held = []
    while True:
        held.append(bytearray(8 * 1024 * 1024))
        time.sleep(0.01)


@task("child")
async def child(ctx: Context, payload: Any) -> int:
    return subprocess.Popen(["sleep", "600"]).pid  # noqa: ASYNC220


@task("raise")
async def raise_it(ctx: Context, payload: Any) -> Any:
    ctx.log.info("about to fail", why=payload["how"])
    match payload["how"]:
        case "permanent":
            raise PermanentError("no such user")
        case "overload":
            raise OverloadError("slow down", retry_after_s=7)
        case "exit":
            sys.exit(3)
        case "nul":
            raise ValueError("a\0b\ud800c")
        case "big":
            return "x" * 70_000
        case "object":
            return object()
        case _:
            raise RuntimeError("boom " * 2000)


@task("talk")
def talk(ctx: Context, payload: Any) -> None:
    ctx.progress(0.5, "half")
    for number in range(payload["lines"]):
        ctx.log.info("line", number=number)
    ctx.progress(1.0, "done")
