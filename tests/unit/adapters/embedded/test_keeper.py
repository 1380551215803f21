"""Keeping a program running."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.embedded.keeper import (
    RESTART_FIRST_S,
    RESTART_MAX_S,
    RESTART_RESET_S,
    Keeper,
    restart_delay_s,
)
from adapters.embedded.logs import tail
from adapters.embedded.process_mark import mark_of, signal_marked
from adapters.embedded.unit import ProcessTable, ProgramFailedError, Unit

WAIT_S = 20


def unit(tmp_path: Path, code: str, **changes: object) -> Unit:
    values = {"grace_s": 10.0} | changes
    argv = (sys.executable, "-I", "-S", "-u", "-c", code)
    return Unit("unit", argv, tmp_path / "unit.log", **values)  # type: ignore[arg-type]


class Changes:
    """Wakes whoever waits for a condition whenever the keeper reports a change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._event.clear()
                await self._event.wait()


async def until_logged(path: Path, text: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while text not in tail(path):  # noqa: ASYNC110 - another program writes
            await asyncio.sleep(0.02)


def test_the_first_restart_comes_soon() -> None:
    assert restart_delay_s(0, 0.01) == RESTART_FIRST_S


def test_a_program_that_keeps_dying_is_restarted_ever_more_slowly() -> None:
    delays = [0.0]
    for _ in range(7):
        delays.append(restart_delay_s(delays[-1], 0.01))
    assert delays[1:] == [0.5, 1, 2, 4, 8, 10, 10]


@given(previous_s=st.floats(0, RESTART_MAX_S), lived_s=st.floats(RESTART_RESET_S, 1e6))
def test_a_long_life_is_forgiven(previous_s: float, lived_s: float) -> None:
    assert restart_delay_s(previous_s, lived_s) == RESTART_FIRST_S


@given(previous_s=st.floats(0, 1e3), lived_s=st.floats(0, 1e6))
def test_the_pause_stays_within_its_bounds(previous_s: float, lived_s: float) -> None:
    assert RESTART_FIRST_S <= restart_delay_s(previous_s, lived_s) <= RESTART_MAX_S


async def test_a_killed_program_is_started_again_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    changes = Changes()
    keeper = Keeper(unit(tmp_path, "import signal; signal.pause()"), ProcessTable(adopts=False), changes)
    keeper.start()
    await changes.until(lambda: keeper.state().mark is not None)
    first = keeper.state().mark
    assert first is not None
    signal_marked(first, signal.SIGKILL)
    await changes.until(lambda: keeper.state().mark not in (None, first))
    assert keeper.restarts == 1
    await keeper.stop()
    assert keeper.state().mark is None
    assert keeper.restarts == 1


async def test_a_program_that_ignores_the_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); signal.pause()"
    keeper = Keeper(unit(tmp_path, code, grace_s=0.2), ProcessTable(adopts=False), Changes())
    keeper.start()
    await until_logged(tmp_path / "unit.log", "deaf")
    await keeper.stop()
    assert keeper.last_exit == -signal.SIGKILL


async def test_the_program_gets_its_own_stop_signal(tmp_path: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(7));print('up'); signal.pause()"
    )
    keeper = Keeper(unit(tmp_path, code, stop_signal=signal.SIGINT), ProcessTable(adopts=False), Changes())
    keeper.start()
    await until_logged(tmp_path / "unit.log", "up")
    await keeper.stop()
    assert keeper.last_exit == 7


async def test_what_a_dead_program_left_in_its_group_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen((sys.executable, '-c', 'import signal; signal.pause()'));"
        "print(child.pid)"
    )
    table = ProcessTable(adopts=False)
    await table.run(unit(tmp_path, code))
    child = int((tmp_path / "unit.log").read_text())
    async with asyncio.timeout(WAIT_S):
        while mark_of(child) is not None:  # noqa: ASYNC110 - the kernel ends it
            await asyncio.sleep(0.02)


async def test_a_failing_program_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailedError, match=r"exit code 3(.|\n)*the reason"):
        await ProcessTable(adopts=False).run(unit(tmp_path, "print('the reason'); raise SystemExit(3)"))


async def test_a_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    code = "import os, signal; print(os.getpid(), 'runs'); signal.pause()"
    running = asyncio.create_task(ProcessTable(adopts=False).run(unit(tmp_path, code)))
    await until_logged(tmp_path / "unit.log", "runs")
    pid = int((tmp_path / "unit.log").read_text().split()[0])
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert mark_of(pid) is None


async def test_a_program_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    log = tmp_path / "inner.log"
    code = (
        "import asyncio, sys; from pathlib import Path;"
        "from adapters.embedded.unit import ProcessTable, Unit;"
        "pause = 'import signal, os; print(os.getpid(), 0, flush=True); signal.pause()';"
        f"inner = Unit('inner', (sys.executable, '-c', pause), Path({str(log)!r}));"
        "asyncio.run(ProcessTable(adopts=False).run(inner))"
    )
    outer = Unit("outer", (sys.executable, "-c", code), tmp_path / "outer.log", cwd=Path.cwd())
    process = await ProcessTable(adopts=False).start(outer)
    await until_logged(log, " 0")
    inner = mark_of(int(log.read_text().split()[0]))
    assert inner is not None
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with asyncio.timeout(WAIT_S):
        while mark_of(inner.pid) == inner:  # noqa: ASYNC110 - the kernel ends it
            await asyncio.sleep(0.02)
