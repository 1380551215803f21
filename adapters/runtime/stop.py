"""Ending in bounded time: first asked, then cancelled, at last without asking."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from enum import Enum, auto

logger = logging.getLogger(__name__)

CLEAN_UP_S = 4.0
"""After a step was cancelled: leaving the group and closing connections."""
LAST_RESORT_S = 4.0
"""After the clean-up: what still holds the process then is neither ours nor worth waiting for."""


class Ending(Enum):
    """How the work of a service ended."""

    DONE = auto()
    """Everything under way was handed over."""
    GIVEN_UP = auto()
    """The broker took too long; what was under way is done again by the next owner."""


def leave_in(seconds: float) -> None:
    """End the process then with exit code 1, whatever its loop does; forgotten when it ends before."""
    guard = threading.Timer(seconds, _leave, (seconds,))
    guard.daemon = True
    guard.start()


async def run_until_stopped(
    work: Coroutine[None, None, None],
    stopping: asyncio.Event,
    limit_s: float,
    last_resort: Callable[[float], None] = leave_in,
) -> Ending:
    """Run ``work``, which ends by itself some time after ``stopping`` is set, or is cancelled then.

    Raises what ``work`` raises. Waits ``limit_s`` and ``CLEAN_UP_S`` after the word to stop, no longer.

    Parameters
    ----------
    last_resort
        Called at the word to stop with the seconds after which the process must be gone.
    """
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            last_resort(limit_s + CLEAN_UP_S + LAST_RESORT_S)
            await asyncio.wait({task}, timeout=limit_s)
    finally:
        stop.cancel()
    if task.done():
        await task
        return Ending.DONE
    logger.warning(
        "what is under way was not taken within %.0f s of the word to stop; it stays in the log and is "
        "done again by the next owner",
        limit_s,
    )
    task.cancel()
    await asyncio.wait({task}, timeout=CLEAN_UP_S)
    return Ending.GIVEN_UP


def _leave(seconds: float) -> None:
    logger.error("still here %.0f s after the word to stop or a failure; leaving", seconds)
    os._exit(1)
