"""What tests of all kinds share: servers once a session, and names nobody else uses."""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from tests.support.servers import Servers, session_servers

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("penstock", deadline=None)
# Whether a change lands is no matter of dice; every run beside that draws anew.
settings.register_profile("landing", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "penstock"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give every run a directory of its own.

    Every pytest that starts closes the directory all share to other accounts, and a Postgres that
    runs there under its own account panics.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # What a shell starts in the background ignores Ctrl-C, with all it starts; some tests send one.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="penstock-tests-")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep what a failed run left."""
    if exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(session.config.option.basetemp, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A real Kafka and a real Postgres, started on first use."""
    with session_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics and groups that no other test uses (``PENSTOCK_TOPIC_PREFIX``)."""
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """The address of an empty database of this test alone."""
    plain = f"test_{uuid.uuid4().hex[:12]}"
    name = sql.Identifier(plain)
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        address, _, _ = servers.database_url.rpartition("/")
        try:
            yield f"{address}/{plain}"
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(name))
