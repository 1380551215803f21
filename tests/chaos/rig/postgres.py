"""A Postgres of its own that can be killed, stopped, paused, filled and slowed."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import psycopg
from psycopg import sql

from adapters.embedded.home import Home
from adapters.embedded.loopback import PortBook
from adapters.embedded.postgres import DATABASE, EmbeddedPostgres, binaries
from adapters.embedded.unit import Unit
from tests.chaos.rig.command import run
from tests.chaos.rig.process import (
    DidNotStartError,
    NotInTimeError,
    Process,
    descendants,
    run_to_end,
    wait_until,
)

INITDB_TIMEOUT_S = 120.0
READY_TIMEOUT_S = 60.0
GONE_TIMEOUT_S = 20.0


class Postgres:
    """One server.

    Parameters
    ----------
    directory
        Holds password and data; may be a mounted tmpfs.
    logs
        Where its output goes; outside the directory when that is to be filled.
    settings
        Server settings that differ from the embedded default, such as ``max_connections``.
    """

    def __init__(
        self, directory: Path, *, logs: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.directory = directory
        self._logs = logs or directory / "logs"
        self._server = EmbeddedPostgres(Home(directory), PortBook(None), os.environ, settings)
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The postmaster."""
        assert self._process is not None, "Postgres was never started"
        return self._process

    @property
    def pid(self) -> int:
        """The postmaster's pid."""
        return self.process.pid

    @property
    def data(self) -> Path:
        """The data directory itself."""
        return Home(self.directory).postgres

    @property
    def url(self) -> str:
        """Address of the database ``penstock``, with the password."""
        return self._server.url

    @property
    def log(self) -> Path:
        """Output of all runs."""
        return self._logs / "postgres.log"

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start it, on new data the first time, and wait until it answers."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Start it without waiting."""
        Home(self.directory).create()
        # Also opens the directories above to the server's account, which someone may have closed since.
        creation = self._server.create_unit()
        if creation is not None:
            run_to_end(self._program(creation), INITDB_TIMEOUT_S)
            self._server.keep_created()
        if self._process is None:
            self._process = self._program(self._server.unit())
        # A crash leaves it behind, and its pid may by now be another program's.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._process.start()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once it answers.

        Raises
        ------
        NotInTimeError, DidNotStartError
            It does not, or it ended.
        """
        try:
            asyncio.run(self._ready(timeout_s))
        except TimeoutError:
            raise NotInTimeError(f"Postgres not ready within {timeout_s:.0f} s") from None

    def kill(self) -> None:
        """End the postmaster without warning; its backends notice and leave. Returns when all are gone."""
        processes = [self.pid, *descendants(self.pid)]
        self.process.kill()
        try:
            wait_until(lambda: not any(map(_runs, processes)), "the end of all backends", GONE_TIMEOUT_S)
        except NotInTimeError:
            for pid in filter(_runs, processes):
                _signal(pid, signal.SIGKILL)
            raise

    def stop(self) -> int | None:
        """End it in order (a fast shutdown, which writes a checkpoint)."""
        for pid in descendants(self.pid) if self.process.is_alive else ():
            _signal(pid, signal.SIGCONT)
        return self.process.terminate()

    def pause(self) -> None:
        """Let no process of the server run; connections stay open and nothing is answered."""
        # The postmaster first: it could start others meanwhile. Backends lead groups of their own.
        self.process.pause()
        for pid in descendants(self.pid):
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        for pid in reversed([self.pid, *descendants(self.pid)]):
            _signal(pid, signal.SIGCONT)

    def database(self, name: str) -> str:
        """Give the address of a database, made when missing."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
            if found is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        address, _, _ = self.url.rpartition(f"/{DATABASE}")
        return f"{address}/{name}"

    def dump(self, file: Path) -> None:
        """Write the database to a file while it is in use."""
        run(str(binaries() / "pg_dump"), "--format=custom", f"--file={file}", self.url)

    def restore(self, file: Path) -> None:
        """Put the database back to what a dump holds, in one transaction; nothing else may be using it."""
        options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
        run(str(binaries() / "pg_restore"), *options, f"--dbname={self.url}", str(file))

    def close(self) -> None:
        """End it for good, paused or not."""
        if self._process is not None:
            self.stop()

    async def _ready(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            ready = asyncio.ensure_future(self._server.wait_ready())
            try:
                while not ready.done():
                    await asyncio.wait({ready}, timeout=0.2)
                    if not self.process.is_alive:
                        raise DidNotStartError(self.process.describe())
                await ready
            finally:
                ready.cancel()

    def _program(self, unit: Unit) -> Process:
        return Process(
            unit.argv,
            log=self._logs / f"{unit.name}.log",
            env=unit.env,
            cwd=unit.cwd,
            user=unit.user,
            stop_signal=unit.stop_signal,
            death_signal=unit.death_signal,
        )


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _signal(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
