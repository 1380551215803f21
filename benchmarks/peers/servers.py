"""Servers of one run, on free ports of the loopback address, gone when the run is."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from adapters.embedded.home import Home
from adapters.embedded.jars import local_repository, locked_jars, missing
from adapters.embedded.kafka import EmbeddedKafka
from adapters.embedded.loopback import HOST, PortBook
from adapters.embedded.plan import child_environment, module_command
from adapters.embedded.poll import until
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process_mark import kill_group
from adapters.embedded.unit import ProcessTable, Unit, describe_log
from benchmarks.peers.catalog import Server
from benchmarks.peers.kits import redis
from benchmarks.pipeline import BenchmarkError

READY_TIMEOUT_S = 120.0
_ASK_AGAIN_S = 0.05


@dataclass
class Place:
    """Where one run happens.

    Attributes
    ----------
    home
        Data and logs.
    stack
        Stops what was started here, last first.
    units
        What runs here and counts, by pid.
    """

    home: Home
    stack: AsyncExitStack
    ports: PortBook = field(default_factory=lambda: PortBook(None))
    table: ProcessTable = field(default_factory=lambda: ProcessTable(adopts=False))
    units: dict[int, str] = field(default_factory=dict)

    async def keep(self, unit: Unit) -> asyncio.subprocess.Process:
        """Start a program that runs until the place is left; it is stopped as it wants to be, or killed."""
        process = await self.table.start(unit)
        self.units[process.pid] = unit.name
        self.stack.push_async_callback(self._stop, process, unit)
        return process

    async def _stop(self, process: asyncio.subprocess.Process, unit: Unit) -> None:
        if process.returncode is None:
            process.send_signal(unit.stop_signal)
        try:
            async with asyncio.timeout(unit.grace_s):
                await process.wait()
        except TimeoutError:
            kill_group(process.pid)
        await self.table.finish(process)

    async def ready(self, unit: Unit, process: asyncio.subprocess.Process, answers: Awaitable[None]) -> None:
        """Wait until a program answers.

        Raises
        ------
        BenchmarkError
            It ended, or does not answer in time.
        """
        waiting, ended = asyncio.ensure_future(answers), asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({waiting, ended}, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise BenchmarkError(f"{unit.name} does not answer, {describe_log(unit.log)}")
            await waiting
        finally:
            waiting.cancel()
            ended.cancel()


async def start(server: Server, place: Place) -> dict[str, str]:
    """Bring a server up; give the settings by which peers find it.

    Raises
    ------
    BenchmarkError, adapters.embedded.unit.ProgramFailedError
        It cannot be brought up.
    """
    bring: dict[Server, Callable[[Place], Awaitable[str]]] = {
        Server.POSTGRES: _postgres,
        Server.REDIS: _redis,
        Server.KAFKA: _kafka,
    }
    return {f"PEERS_{server.upper()}": await bring[server](place)}


async def _postgres(place: Place) -> str:
    """Give the embedded Postgres with the settings that Penstock has: every commit is on disk."""
    postgres = EmbeddedPostgres(place.home, place.ports, os.environ)
    creation = postgres.create_unit()
    if creation is not None:
        await place.table.run(creation)
        postgres.keep_created()
    unit = postgres.unit()
    await place.ready(unit, await place.keep(unit), postgres.wait_ready())
    return postgres.url


async def _kafka(place: Place) -> str:
    """Give the embedded broker with the settings that Penstock has."""
    if missing(locked_jars(), local_repository(os.environ)):
        fetch = module_command("adapters.embedded.fetch_jars")
        log = place.home.log("fetch-jars")
        await place.table.run(Unit("fetch-jars", fetch, log, env=child_environment(os.environ)))
    kafka = EmbeddedKafka(place.home, place.ports, os.environ)
    kafka.configure()
    formatting = kafka.format_unit()
    if formatting is not None:
        await place.table.run(formatting)
        kafka.mark_formatted()
    unit = kafka.unit()
    await place.ready(unit, await place.keep(unit), kafka.wait_ready())
    return kafka.bootstrap


async def _redis(place: Place) -> str:
    """Give Redis with its own defaults: snapshots now and then, so the last seconds are lost in a crash."""
    program = redis()
    if program is None:
        raise BenchmarkError("no Redis server is installed")
    data = place.home.root / "redis"
    data.mkdir()
    port = place.ports.port("redis")
    argv = (program, "--bind", HOST, "--port", str(port), "--dir", str(data))
    unit = Unit("redis", argv, place.home.log("redis"), cwd=data)
    await place.ready(unit, await place.keep(unit), until(lambda: _accepts(port), _ASK_AGAIN_S))
    return f"redis://{HOST}:{port}/0"


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
