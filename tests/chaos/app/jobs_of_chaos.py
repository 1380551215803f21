"""The user tasks under chaos: each writes a start row, works, and writes an end row.

Rows go to a database that no fault touches, and carry the identity of the process. Every process
also says ten times a second that it lives, so that an attempt without an end row can be bounded.
Imported by worker processes, so it uses nothing of ours but ``penstock``.
"""

import asyncio
import functools
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from pydantic import BaseModel, ConfigDict, Field

from penstock.context import Context
from penstock.errors import PermanentError, TransientError
from penstock.task import RetryRule, task

MARK_EVERY_S = 0.1
_CANCEL_CHECK_S = 0.05
_DOWN_FLAG = "steady-is-down"
_QUICK = RetryRule(base="300ms", cap="2s")
_INSERT = """insert into effects
    (kind, job_id, dispatch, attempt, pid, process_started, at_boot_s, at_ms, host, outcome)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""


class Work(BaseModel):
    """What one job does."""

    model_config = ConfigDict(extra="forbid")

    send: int
    run_s: float = Field(ge=0, le=3600)
    fail_attempts: int = 0
    spawns: int = 0
    """Jobs it adds to its workflow."""
    secret: str = ""


class Witness:
    """This process's pen: one connection, shared by all threads, and its sign of life."""

    def __init__(self, url: str, marks: Path) -> None:
        self.started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        self._mark = os.open(marks / f"{os.getpid()}-{self.started_ticks}", os.O_WRONLY | os.O_CREAT, 0o644)
        threading.Thread(target=self._live, name="sign-of-life", daemon=True).start()

    def write(self, ctx: Context, kind: str, outcome: str = "") -> None:
        """Append one row; durable as far as a killed process is concerned when it returns."""
        identity = (ctx.job_id, ctx.dispatch, ctx.attempt, os.getpid(), self.started_ticks)
        times = (_boot_s(), int(time.time() * 1000))
        self._connection.execute(_INSERT, (kind, *identity, *times, socket.gethostname(), outcome))

    def _live(self) -> None:
        while True:
            os.pwrite(self._mark, struct.pack("d", _boot_s()), 0)
            time.sleep(MARK_EVERY_S)


@functools.cache
def witness() -> Witness:
    """Give the witness of this process, made at its first job."""
    return Witness(os.environ["CHAOS_EFFECTS_URL"], Path(os.environ["CHAOS_MARKS"]))


_WITNESS_LOCK = threading.Lock()


@contextmanager
def witnessed(ctx: Context) -> Iterator[None]:
    """Write a start row, and an end row however the block ends (a killed process writes none)."""
    with _WITNESS_LOCK:
        pen = witness()
    pen.write(ctx, "start")
    ending = "cancelled"
    try:
        yield
        ending = "ok"
    except Exception as error:
        ending = type(error).__name__
        raise
    finally:
        pen.write(ctx, "end", ending)


def _conclude(ctx: Context, work: Work) -> None:
    if ctx.attempt <= work.fail_attempts:
        raise TransientError("connection reset by peer")


async def _perform(ctx: Context, work: Work, calls: str = "") -> dict[str, object]:
    with witnessed(ctx):
        await asyncio.sleep(work.run_s)
        if calls and (Path(os.environ["CHAOS_MARKS"]).parent / calls).exists():
            raise TransientError("the provider is down")
        _conclude(ctx, work)
        for number in range(work.spawns):
            part = {"send": work.send, "run_s": 0.05}
            ctx.spawn("chaos.steady", part, name=f"part-{number}", labels={"spawned": str(work.send)})
    return {"dispatch": ctx.dispatch}


@task("chaos.steady", payload=Work, retry=_QUICK)
async def steady(ctx: Context, work: Work) -> dict[str, object]:
    """Succeed at once, unless what it calls is down."""
    return await _perform(ctx, work, calls=_DOWN_FLAG)


@task("chaos.slow", payload=Work, retry=_QUICK)
async def slow(ctx: Context, work: Work) -> dict[str, object]:
    """Take a while, and say how far it is."""
    ctx.log.info("slow work", send=work.send)
    ctx.progress(0.1, "begun")
    return await _perform(ctx, work)


@task("chaos.flaky", payload=Work, retry=_QUICK)
async def flaky(ctx: Context, work: Work) -> dict[str, object]:
    """Fail first, then succeed."""
    ctx.log.info("may fail", attempt=ctx.attempt)
    return await _perform(ctx, work)


@task("chaos.failing", payload=Work, retry=_QUICK)
async def failing(ctx: Context, work: Work) -> None:
    """Fail whatever is tried."""
    with witnessed(ctx):
        await asyncio.sleep(work.run_s)
        if work.send % 2:
            raise PermanentError("the address does not exist")
        raise TransientError("connection refused")


@task("chaos.thread", payload=Work, retry=_QUICK)
def in_thread(ctx: Context, work: Work) -> dict[str, object]:
    """Succeed, as an ordinary function in a thread."""
    with witnessed(ctx):
        until_s = time.monotonic() + work.run_s
        while (left_s := until_s - time.monotonic()) > 0:
            ctx.raise_if_cancelled()
            time.sleep(min(left_s, _CANCEL_CHECK_S))
        _conclude(ctx, work)
    return {"dispatch": ctx.dispatch}


@task("chaos.heavy", payload=Work, retry=_QUICK)
def heavy(ctx: Context, work: Work) -> dict[str, object]:
    """Compute all the time."""
    with witnessed(ctx):
        until_s = time.thread_time() + work.run_s
        while time.thread_time() < until_s:
            sum(range(500))
    return {"dispatch": ctx.dispatch}


@task("chaos.blocking", payload=Work, retry=_QUICK)
async def blocking(ctx: Context, work: Work) -> dict[str, object]:
    """Hold the worker's event loop, as a call that should have been awaited does."""
    with witnessed(ctx):
        time.sleep(work.run_s)  # noqa: ASYNC251 - the mistake is the point
    return {"dispatch": ctx.dispatch}


@task("chaos.stubborn", payload=Work, retry=_QUICK)
async def stubborn(ctx: Context, work: Work) -> dict[str, object]:
    """Go on although it is cancelled."""
    with witnessed(ctx):
        until_s = time.monotonic() + work.run_s
        while (left_s := until_s - time.monotonic()) > 0:
            with suppress(asyncio.CancelledError):  # The mistake is the point.
                await asyncio.sleep(left_s)
    return {"dispatch": ctx.dispatch}


@task("chaos.deaf", payload=Work, retry=_QUICK)
def deaf(ctx: Context, work: Work) -> dict[str, object]:
    """Never ask whether it is cancelled, as an ordinary function in a thread."""
    with witnessed(ctx):
        time.sleep(work.run_s)
    return {"dispatch": ctx.dispatch}


@task("chaos.crash", payload=Work, retry=_QUICK)
async def crash(ctx: Context, work: Work) -> dict[str, object]:
    """Take the worker process down the first ``fail_attempts`` times."""
    with witnessed(ctx):
        await asyncio.sleep(work.run_s)
        if ctx.dispatch <= work.fail_attempts:
            os._exit(1)
    return {"dispatch": ctx.dispatch}


def _boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
