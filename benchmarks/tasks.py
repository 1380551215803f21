"""The app of the measured pipeline: tasks that cost nothing, so that only the pipeline does."""

import asyncio
from typing import TypedDict

from penstock.context import Context
from penstock.task import task

NOOP = "bench.noop"
PLAIN = "bench.plain"
SLEEP = "bench.sleep"
WAITING = "bench.waiting"
FLAKY = "bench.flaky"
MANY = "bench.many.{}"
"""One of a thousand types; see ``benchmarks.many_tasks``."""


class Sleep(TypedDict):
    """How long to occupy a slot."""

    s: float


@task(NOOP)
async def noop(_ctx: Context, _payload: object) -> None:
    """Return at once."""


@task(PLAIN)
def plain(_ctx: Context, _payload: object) -> None:
    """Return at once, from a thread of the worker."""


@task(FLAKY)
async def flaky(ctx: Context, _payload: object) -> None:
    """Fail the first attempt of every job, and succeed in the second."""
    if ctx.attempt == 1:
        raise RuntimeError("the first attempt always fails")


@task(WAITING)
async def waiting(_ctx: Context, _payload: object) -> None:
    """Return at once; of jobs that wait for a time."""


@task(SLEEP)
async def sleep(_ctx: Context, payload: Sleep) -> None:
    """Occupy a slot."""
    await asyncio.sleep(payload["s"])
