"""One peer up and running: its servers, its workers, and the driver that submits to it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.embedded.home import Home
from adapters.embedded.logs import open_log
from adapters.embedded.process_mark import kill_group
from adapters.embedded.unit import Unit, describe_log
from benchmarks import cpu
from benchmarks.machine import ROOT
from benchmarks.peers import effects
from benchmarks.peers.apps.effects import FOLDER_KEY
from benchmarks.peers.catalog import Peer, environment
from benchmarks.peers.figures import backlog_figures, not_once, rate_figures
from benchmarks.peers.servers import Place, start
from benchmarks.pipeline import CLIENT, BenchmarkError, tied

ANSWER_TIMEOUT_S = 1800.0
"""The driver itself gives up when nothing moves; this is for one that hangs."""
GRACE_S = 10.0
"""For workers to stop; they have nothing left to do."""
LINE_MAX_BYTES = 64 * 2**20
"""An answer holds a time for every job."""


@dataclass(frozen=True)
class Found:
    """Figures of one workload, CPU by process, and what makes them invalid."""

    figures: dict[str, float]
    cpu_ms_by_process: dict[str, float]
    invalid: str


@dataclass
class Stand:
    """A peer that waits for work; jobs are numbered on from one workload to the next."""

    place: Place
    effects: Path
    driver: "Driver"
    submitted: int = field(default=0)

    async def backlog(self, jobs: int) -> Found:
        """Submit so many at once and wait for the last final state."""
        numbers = self._next(jobs)
        used = self.cpu_s()
        answer = await self.driver.ask({"do": "backlog", "first": numbers.start, "jobs": jobs})
        used = cpu.difference(used, self.cpu_s())
        figures = backlog_figures(jobs, answer["submitted_s"], answer["elapsed_s"], sum(used.values()))
        return Found(figures, a_job(used, jobs), not_once(numbers, effects.read(self.effects)))

    async def rate(self, per_s: float, seconds: float) -> Found:
        """Submit at a rate and give how long after its time each job came how far."""
        jobs = round(per_s * seconds)
        numbers = self._next(jobs)
        used = self.cpu_s()
        asked = {"do": "rate", "first": numbers.start, "jobs": jobs, "per_s": per_s}
        answer = await self.driver.ask(asked)
        used = cpu.difference(used, self.cpu_s())
        starts_ms = effects.read(self.effects)
        wrong = not_once(numbers, starts_ms)
        if wrong:
            return Found({}, a_job(used, jobs), wrong)
        due_ms = [answer["began_ns"] / 1e6 + place * 1000 / per_s for place in range(jobs)]
        figures = rate_figures(
            due_ms,
            [starts_ms[number][0] for number in numbers],
            [at_ns / 1e6 for at_ns in answer["shown_ns"]],
            sum(used.values()),
        )
        return Found(figures, a_job(used, jobs), "")

    def cpu_s(self) -> dict[str, float]:
        """Give the CPU seconds of every process so far, children included."""
        return cpu.used_s(self.place.units)

    def _next(self, jobs: int) -> range:
        numbers = range(self.submitted, self.submitted + jobs)
        self.submitted = numbers.stop
        return numbers


def a_job(used_s: Mapping[str, float], jobs: int) -> dict[str, float]:
    """Give milliseconds a job of CPU seconds of all."""
    return {name: round(spent_s * 1000 / jobs, 4) for name, spent_s in used_s.items()}


@dataclass
class Driver:
    """The process that submits to a peer and watches jobs end."""

    process: asyncio.subprocess.Process
    log: Path

    async def answer(self) -> dict[str, Any]:
        """Read one answer.

        Raises
        ------
        BenchmarkError
            The driver has ended, or says nothing.
        """
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise BenchmarkError(f"the driver does not answer, {describe_log(self.log)}") from None
        if not line:
            raise BenchmarkError(f"the driver has ended, {describe_log(self.log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Have something done; errors as ``answer``."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        return await self.answer()


@asynccontextmanager
async def standing(peer: Peer, data: Path) -> AsyncIterator[tuple[Stand, dict[str, str]]]:
    """Run a peer for the length of the block; give it and its versions. The data stay.

    Raises
    ------
    BenchmarkError, adapters.embedded.unit.ProgramFailedError
        It could not be brought up.
    """
    home = Home(data)
    home.create()
    noted = data / "effects"
    noted.mkdir()
    async with AsyncExitStack() as stack:
        place = Place(home, stack)
        settings = environment(os.environ, peer) | {FOLDER_KEY: str(noted)}
        for server in peer.servers:
            settings |= await start(server, place)
        driver = await _drive(peer, place, settings)
        versions: dict[str, str] = (await driver.answer())["versions"]
        for number, command in enumerate(peer.workers):
            log = home.log(f"worker-{number}")
            await place.keep(Unit("workers", command, log, env=settings, cwd=ROOT, grace_s=GRACE_S))
        yield Stand(place, noted, driver), versions


async def _drive(peer: Peer, place: Place, settings: Mapping[str, str]) -> Driver:
    path = place.home.log("driver")
    log = open_log(path)
    try:
        process = await asyncio.create_subprocess_exec(
            *tied(peer.driver, signal.SIGKILL),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=dict(settings),
            cwd=ROOT,
            start_new_session=True,
            limit=LINE_MAX_BYTES,
        )
    finally:
        os.close(log)
    place.units[process.pid] = CLIENT
    place.stack.push_async_callback(_end, process)
    return Driver(process, path)


async def _end(process: asyncio.subprocess.Process) -> None:
    kill_group(process.pid)
    await process.wait()
