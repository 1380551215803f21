import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.chaos.rig.postgres import Postgres
from tests.chaos.rig.process import descendants


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    # Not below pytest's directory: every pytest that starts closes it to other accounts.
    with tempfile.TemporaryDirectory() as directory:
        server = Postgres(Path(directory), settings={"max_connections": "12"})
        try:
            server.start()
            yield server
        finally:
            server.close()


def test_a_killed_server_keeps_what_was_committed(postgres: Postgres) -> None:
    url = postgres.database("kept")
    with psycopg.connect(url) as open_connection:
        open_connection.execute("create table marks (n int)")
        open_connection.execute("insert into marks values (1)")
        open_connection.commit()
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            open_connection.execute("select 1")
    postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("select n from marks").fetchall() == [(1,)]


def test_a_paused_server_answers_nobody_until_it_is_resumed(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as open_connection:
        postgres.pause()
        try:
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                psycopg.connect(postgres.url, connect_timeout=2)
            stopped = {
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids(postgres)
            }
        finally:
            postgres.resume()
        assert stopped == {"T"}
        assert open_connection.execute("select 1").fetchone() == (1,)


def test_settings_of_the_server_can_differ(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("show max_connections").fetchone() == ("12",)


def pids(postgres: Postgres) -> list[int]:
    return [postgres.pid, *descendants(postgres.pid)]
