"""Keeps one program running until it is told to stop."""

import asyncio
import logging
import time
from collections.abc import Callable

from adapters.embedded.process_mark import ProcessMark, kill_group, mark_of
from adapters.embedded.state import UnitState
from adapters.embedded.unit import ProcessTable, Unit

logger = logging.getLogger(__name__)

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 10.0
RESTART_RESET_S = 30.0
"""A program that lived this long is restarted as if it had never died before."""


def restart_delay_s(previous_s: float, lived_s: float) -> float:
    """Give the pause before the next start: 0.5 s, doubling to 10 s while the program keeps dying.

    Parameters
    ----------
    previous_s
        The pause before the start that just ended; 0 for the first start.
    lived_s
        How long the program ran.
    """
    if previous_s <= 0 or lived_s >= RESTART_RESET_S:
        return RESTART_FIRST_S
    return min(max(previous_s * 2, RESTART_FIRST_S), RESTART_MAX_S)


class Keeper:
    """Runs a unit and restarts it when it dies, however it dies (an exit with code 0 included).

    Parameters
    ----------
    on_change
        Called after every start and end; must not block.
    """

    def __init__(self, unit: Unit, table: ProcessTable, on_change: Callable[[], None]) -> None:
        self.unit = unit
        self.restarts = 0
        self.last_exit: int | None = None
        self._table = table
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._mark: ProcessMark | None = None
        self._started_ms = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin keeping; returns at once."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.unit.name}")

    async def stop(self) -> None:
        """Ask the program to stop, kill it after its grace; nothing of its group is left after."""
        self._stopping.set()
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(self.unit.stop_signal)
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=self.unit.grace_s)
        if not done:
            self.kill()
            await asyncio.wait({self._task})

    def kill(self) -> None:
        """Kill the program's group now; without ``stop`` it is restarted."""
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process.pid)

    def state(self) -> UnitState:
        """Say what runs now."""
        return UnitState(self._mark, self.restarts, str(self.unit.log), self._started_ms)

    async def _keep(self) -> None:
        delay_s = 0.0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started_s = loop.time()
            await self._run_once()
            if self._stopping.is_set():
                return
            delay_s = restart_delay_s(delay_s, loop.time() - started_s)
            self.restarts += 1
            self._on_change()
            await self._pause(delay_s)

    async def _run_once(self) -> None:
        try:
            process = await self._table.start(self.unit)
        except OSError:  # no process or file to be had at the moment: as good as dead at once
            logger.exception("%s cannot be started", self.unit.name)
            return
        self._process, self._mark = process, mark_of(process.pid)
        self._started_ms = int(time.time() * 1000)
        self._on_change()
        if self._stopping.is_set():  # asked while it was being started: it has nothing to finish
            kill_group(process.pid)
        self.last_exit = await self._table.finish(process)
        self._mark = None
        self._on_change()

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return
