"""Work an executor starts beside its steps must not fail unheard."""

import asyncio
from types import SimpleNamespace
from typing import Any

from services.executor.wiring import Executor


async def test_a_hand_back_that_cannot_be_appended_ends_the_process() -> None:
    """Else the executor would list the claim in every heartbeat, and nobody could ever run the job."""
    executor: Any = Executor.__new__(Executor)
    executor._tasks = set()
    executor._closer = SimpleNamespace(failed=asyncio.Event())

    async def hand_back() -> None:
        raise RuntimeError("the log takes nothing more")

    executor._spawn(hand_back())

    async with asyncio.timeout(5):
        await executor._closer.failed.wait()
    assert not executor._tasks
