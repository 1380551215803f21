"""Asking again until the answer is yes."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(answer: Callable[[], Awaitable[bool]], every_s: float) -> None:
    """Return once the answer is yes; the caller sets the deadline."""
    while not await answer():  # noqa: ASYNC110 - another program changes it; there is no event
        await asyncio.sleep(every_s)
