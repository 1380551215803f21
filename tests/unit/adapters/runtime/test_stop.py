"""Ending in bounded time."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

from adapters.runtime.stop import CLEAN_UP_S, LAST_RESORT_S, Ending, run_until_stopped


async def test_work_that_ends_after_the_word_to_stop_is_waited_for() -> None:
    stopping, told = asyncio.Event(), list[float]()

    async def work() -> None:
        await stopping.wait()

    asyncio.get_running_loop().call_soon(stopping.set)
    assert await run_until_stopped(work(), stopping, 30.0, told.append) is Ending.DONE


async def test_work_that_waits_for_ever_is_cancelled_and_may_clean_up() -> None:
    stopping, cleaned, told = asyncio.Event(), asyncio.Event(), list[float]()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    stopping.set()
    async with asyncio.timeout(5):
        assert await run_until_stopped(work(), stopping, 0.05, told.append) is Ending.GIVEN_UP
    assert cleaned.is_set()
    assert told == [0.05 + CLEAN_UP_S + LAST_RESORT_S]


async def test_what_work_raises_is_raised_whether_it_was_told_to_stop_or_not() -> None:
    async def work() -> None:
        raise RuntimeError("cannot go on")

    told = asyncio.Event()
    told.set()
    for stopping in (asyncio.Event(), told):
        with pytest.raises(RuntimeError, match="cannot go on"):
            await run_until_stopped(work(), stopping, 1.0, list[float]().append)


def test_a_process_whose_loop_is_held_up_ends_all_the_same() -> None:
    script = textwrap.dedent(
        """
        import asyncio, time
        from adapters.runtime import stop

        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                time.sleep(60)

        async def main():
            stopping = asyncio.Event()
            stopping.set()
            await stop.run_until_stopped(work(), stopping, 0.1)

        stop.CLEAN_UP_S = stop.LAST_RESORT_S = 0.2
        asyncio.run(main())
        """
    )
    done = subprocess.run((sys.executable, "-c", script), check=False, timeout=30, capture_output=True)
    assert (done.returncode, b"still here" in done.stderr) == (1, True)
