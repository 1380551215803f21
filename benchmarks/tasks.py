"""The app of the measured pipeline: tasks that cost nothing, so that only the pipeline does."""

import asyncio
from typing import TypedDict

from penstock.context import Context
from penstock.task import task

NOOP = "bench.noop"
SLEEP = "bench.sleep"
WAITING = "bench.waiting"


class Sleep(TypedDict):
    """How long to occupy a slot."""

    s: float


@task(NOOP)
async def noop(_ctx: Context, _payload: object) -> None:
    """Return at once."""


@task(WAITING)
async def waiting(_ctx: Context, _payload: object) -> None:
    """Return at once; of jobs that wait for a time."""


@task(SLEEP)
async def sleep(_ctx: Context, payload: Sleep) -> None:
    """Occupy a slot."""
    await asyncio.sleep(payload["s"])
