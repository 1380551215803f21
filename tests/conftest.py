"""What tests of all kinds share: servers once a session, and names nobody else uses."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from tests.support.servers import Servers, session_servers

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")


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
