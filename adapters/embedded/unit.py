"""One program to run, and the table of the processes this supervisor has."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from adapters.embedded.logs import open_log, tail
from adapters.embedded.process_mark import become_subreaper, children_of, kill_group

_LAUNCHER = Path(__file__).with_name("launch.py")

GRACE_S = 20.0
"""Between the request to stop and SIGKILL; `down` waits longer than all graces together."""


class ProgramFailedError(Exception):
    """A program that had to succeed did not; a person reads the log named in the message."""


@dataclass(frozen=True)
class Unit:
    """A program and how it is to be started and stopped."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | None = None
    user: str | None = None
    """Account to run as; None keeps the supervisor's."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = GRACE_S
    death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when the supervisor dies without having stopped the program."""


class ProcessTable:
    """Starts processes in groups of their own and knows every child that is meant to run.

    Parameters
    ----------
    adopts
        Whether orphaned descendants become children of this process, and are killed by ``sweep``.
        Only for a process that has no other children than those started here.
    """

    def __init__(self, *, adopts: bool) -> None:
        self._adopts = adopts
        self._known: set[int] = set()
        self._forking = asyncio.Lock()
        if adopts:
            become_subreaper()

    async def start(self, unit: Unit) -> asyncio.subprocess.Process:
        """Start the program as leader of its own session; its output is appended to its log."""
        log = open_log(unit.log)
        try:
            # A sweep between the fork and the entry in the table would kill the newborn.
            async with self._forking:
                process = await asyncio.create_subprocess_exec(
                    *_launch(unit),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    env=dict(unit.env),
                    cwd=unit.cwd,
                    start_new_session=True,
                )
                self._known.add(process.pid)
        finally:
            os.close(log)
        return process

    async def finish(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the end, then kill what the process left behind; give its exit code."""
        code = await process.wait()
        self._known.discard(process.pid)
        kill_group(process.pid)
        await self.sweep()
        return code

    async def run(self, unit: Unit) -> None:
        """Run a program to its end.

        Raises
        ------
        ProgramFailedError
            Its exit code is not 0; the message holds the end of its log.
        """
        process = await self.start(unit)
        try:
            code = await self.finish(process)
        except asyncio.CancelledError:
            kill_group(process.pid)
            await self.finish(process)
            raise
        if code != 0:
            raise ProgramFailedError(f"{unit.name} failed (exit code {code}), {describe_log(unit.log)}")

    async def sweep(self) -> None:
        """Kill and reap orphans that programs left behind in other process groups."""
        if not self._adopts:
            return
        async with self._forking:
            for pid in children_of(os.getpid()) - self._known:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    await asyncio.to_thread(os.waitpid, pid, 0)


def describe_log(log: Path) -> str:
    """Name a log and quote its end."""
    return f"the end of {log}:\n{tail(log)}"


def _launch(unit: Unit) -> tuple[str, ...]:
    return (
        sys.executable,
        "-I",
        "-S",
        str(_LAUNCHER),
        str(os.getpid()),
        str(int(unit.death_signal)),
        unit.user or "-",
        *unit.argv,
    )
