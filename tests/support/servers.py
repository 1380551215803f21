"""A Kafka and a Postgres for a test session.

In this order: the addresses in the environment (``PENSTOCK_KAFKA_BOOTSTRAP``,
``PENSTOCK_DATABASE_URL``), then embedded ones. ``PENSTOCK_TEST_SERVERS=containers`` asks for
containers instead, where ``docker info`` answers.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer

from adapters.embedded.env_file import read_env
from adapters.embedded.home import Home
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY
from adapters.embedded.process_mark import signal_marked
from adapters.embedded.state import read_state
from tests.support.processes import Program

KAFKA_IMAGE = "confluentinc/cp-kafka:8.0.0"
"""Kafka 4.0; the container class knows the start script of this family of images only."""
POSTGRES_IMAGE = "postgres:18"


@dataclass(frozen=True)
class Servers:
    """Addresses, and the data directory when the servers are embedded ones."""

    kafka_bootstrap: str
    database_url: str
    data: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The settings a service or command needs to use these servers."""
        return {KAFKA_KEY: self.kafka_bootstrap, DATABASE_KEY: self.database_url}

    def kill(self, name: str) -> None:
        """Kill ``kafka`` or ``postgres`` without warning; its supervisor starts it again."""
        self._signal(name, signal.SIGKILL)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Have ``kafka`` or ``postgres`` stand still for the length of a block: connected, and silent."""
        self._signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, signum: signal.Signals) -> None:
        assert self.data is not None, "only an embedded server can be killed"
        state = read_state(Home(self.data).state_file)
        assert state is not None
        mark = state.units[name].mark
        assert mark is not None
        assert signal_marked(mark, signum)


@contextmanager
def session_servers(directory: Path) -> Iterator[Servers]:
    """Provide the servers of a session; those started here are gone at the end."""
    kafka, database = os.environ.get(KAFKA_KEY), os.environ.get(DATABASE_KEY)
    if kafka and database:
        yield Servers(kafka, database)
    elif os.environ.get("PENSTOCK_TEST_SERVERS") == "containers":
        with _containers() as servers:
            yield servers
    else:
        with embedded_servers(directory) as servers:
            yield servers


@contextmanager
def embedded_servers(directory: Path) -> Iterator[Servers]:
    """Run embedded servers, without any service, in a directory."""
    with Program(directory / "output", "-m", "adapters.embedded", str(directory / "data")) as program:
        program.wait_ready()
        values = read_env(Home(directory / "data").env_file)
        yield Servers(values[KAFKA_KEY], values[DATABASE_KEY], directory / "data")


@contextmanager
def _containers() -> Iterator[Servers]:
    if not _docker_answers():
        pytest.skip("PENSTOCK_TEST_SERVERS=containers, but no Docker engine answers")
    with ExitStack() as stack:
        kafka = stack.enter_context(_kafka_container())
        postgres = stack.enter_context(PostgresContainer(POSTGRES_IMAGE))
        yield Servers(kafka.get_bootstrap_server(), postgres.get_connection_url(driver=None))


def _kafka_container() -> KafkaContainer:
    container = KafkaContainer(KAFKA_IMAGE).with_kraft()
    container.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    container.with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
    container.with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
    return container


def _docker_answers() -> bool:
    """Ask the engine: the program alone proves nothing."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(("docker", "info"), check=False, capture_output=True, timeout=20).returncode == 0
