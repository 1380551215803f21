"""Postgres stalls, is of another version, belongs to somebody else, or went back in time."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from adapters.embedded.postgres import binaries
from adapters.postgres import sink as sink_module
from adapters.postgres.comparison import difference
from adapters.postgres.migrate import check, upgrade
from adapters.postgres.refold import fresh_fold, read_table
from adapters.postgres.sink import ForeignTableError, PostgresTable, SchemaError
from adapters.telemetry.prometheus import PrometheusMeter
from core.ledger.notes import Logged, LogLine
from penstock.connection import DatabaseConnection
from ports.state_table import TableUnavailableError, TableUnusableError
from tests.integration.test_materializer import append, course, ended, table_difference, write
from tests.support.ledger_stories import EPOCH, Event, accepted, claimed, folded, queued, succeeded, written
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

EVENTS: list[Event] = [accepted(), queued(), claimed(), succeeded()]


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    return database_url


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path, url: str) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path, database_url=url) as prepared:
        yield prepared


def sink(url: str, epoch: str = EPOCH, before: tuple[str, ...] | None = None) -> PostgresTable:
    return PostgresTable(url, stage="materializer", epoch=epoch, meter=PrometheusMeter(), before=before)


@contextmanager
def stopped_backends(url: str) -> Iterator[None]:
    """Stop the server's processes that serve the sink: packets are acknowledged, nothing is answered."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'penstock %'"
        ).fetchall()
    pids = [int(pid) for (pid,) in found]
    assert pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pytest.skip("the server's processes are on another machine")
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_server_that_stops_answering_is_left_and_written_to_when_it_is_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "ANSWER_TIMEOUT_S", 1.0)
    table, events = sink(url), folded(EVENTS)
    await write(table, events[:1])
    began_s = time.monotonic()
    with stopped_backends(url):
        with pytest.raises(TableUnavailableError):
            await write(table, events[1:])
        assert time.monotonic() - began_s < 10
    await write(table, events[1:])
    await table.close()
    assert difference(fresh_fold(written(EVENTS), EPOCH), (await read_table(url)).rows) == []


async def test_a_lock_that_is_held_is_waited_for_outside_a_transaction(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "_BOUNDS", (*sink_module._BOUNDS, "SET lock_timeout = '200ms'"))
    table, events = sink(url), folded(EVENTS)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE jobs")
        with pytest.raises(TableUnavailableError, match="lock timeout"):
            await write(table, events)
        assert (await table.positions([0, 1])) == {0: 0, 1: 0}
        holder.rollback()
    await write(table, events)
    await table.close()
    assert difference(fresh_fold(written(EVENTS), EPOCH), (await read_table(url)).rows) == []


async def test_a_writer_that_was_stopped_inside_its_transaction_loses_its_locks(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = (*sink_module._BOUNDS, "SET idle_in_transaction_session_timeout = '300ms'")
    monkeypatch.setattr(sink_module, "_BOUNDS", short)
    zombie, fresh = sink(url), sink(url)
    connection = await zombie._connected()
    await zombie.positions([0, 1])
    async with connection.cursor() as cursor:
        await cursor.execute("BEGIN")
        await cursor.execute("SELECT 1 FROM stage_offsets FOR UPDATE")
        await asyncio.wait_for(write(fresh, folded(EVENTS)), 10)
    await zombie.close()
    await fresh.close()


def add_as_a_later_version(url: str, column: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE jobs ADD COLUMN {column}".encode())
        connection.execute("UPDATE alembic_version SET version_num = 'at_2027_01_01_later'")
        connection.execute("CREATE VIEW v2_jobs AS SELECT * FROM jobs")


async def test_this_version_works_on_the_tables_of_the_next(url: str) -> None:
    add_as_a_later_version(url, "region text DEFAULT 'eu' NOT NULL")
    database = DatabaseConnection(url=SecretStr(url))
    upgrade(database)
    assert any("at_2027_01_01_later" in line for line in check(database))
    table = sink(url)
    await write(table, folded(EVENTS))
    await table.close()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT state, region FROM jobs").fetchall() == [("succeeded", "eu")]
    assert difference(fresh_fold(written(EVENTS), EPOCH), (await read_table(url)).rows) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE jobs DROP COLUMN tenant CASCADE", 'column "tenant"'),
        ("DROP TABLE job_logs", '"job_logs"'),
        ("ALTER TABLE jobs ADD COLUMN needed int NOT NULL", '"needed"'),
        ("ALTER TABLE jobs ALTER COLUMN attempt TYPE boolean USING true", '"attempt"'),
    ],
)
async def test_tables_this_version_cannot_write_are_named_with_the_remedy(
    url: str, change: str, said: str
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP VIEW v1_jobs, v1_attempts")
        connection.execute(change.encode())
    table = sink(url)
    line = Logged(accepted().origin, accepted().job_id, 1, (LogLine(1, 2, "info", "text"),))
    with pytest.raises(SchemaError, match=said) as caught:
        await write(table, folded([*EVENTS, line]))
    await table.close()
    assert "adapters.prepare" in str(caught.value)


async def test_a_role_that_may_not_write_is_named_with_the_remedy(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS penstock_test_reader")
        connection.execute("CREATE ROLE penstock_test_reader")
    table = sink(url)
    opened = await table._connected()
    await opened.execute("SET ROLE penstock_test_reader")
    with pytest.raises(TableUnusableError, match="owns the tables"):
        await table.positions([0])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE penstock_test_reader")


async def test_tables_of_another_pipeline_are_refused_and_those_of_an_earlier_epoch_are_not(url: str) -> None:
    table = sink(url)
    await write(table, folded(EVENTS))
    await table.close()
    later = sink(url, "epoch2", before=(EPOCH,))
    assert await later.positions([0]) == {0: 0}
    await later.close()
    foreign = sink(url, "elsewhere", before=())
    with pytest.raises(ForeignTableError, match=f"penstock epoch forget {EPOCH}"):
        await foreign.positions([0])
    await foreign.close()


def test_a_materializer_on_unusable_tables_ends_with_the_remedy(mine: Pipeline) -> None:
    with psycopg.connect(mine.database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE stage_offsets")
    with mine.start("materializer") as program:
        assert program.process.wait(60) == 1
    assert "adapters.prepare" in program.output
    assert "Traceback" not in program.output


def test_a_table_restored_from_an_older_dump_converges(mine: Pipeline) -> None:
    dump = mine.directory / "dump"
    restart = {"PENSTOCK_MATERIALIZER_BATCH_MAX": "300"}
    with mine.running("materializer", **restart):
        asyncio.run(append(mine, course(mine.epoch.epoch, range(300))))
        wait_until(lambda: ended(mine.database_url) == 300, "the first", 60)
        subprocess.run(
            [binaries() / "pg_dump", "--format=custom", f"--file={dump}", mine.database_url], check=True
        )
        asyncio.run(append(mine, course(mine.epoch.epoch, range(300, 600))))
        wait_until(lambda: ended(mine.database_url) == 600, "the second", 60)
    with psycopg.connect(mine.database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    subprocess.run(
        [binaries() / "pg_restore", f"--dbname={mine.database_url}", "--no-owner", dump],
        check=False,
        capture_output=True,
    )
    assert ended(mine.database_url) == 300
    asyncio.run(append(mine, course(mine.epoch.epoch, range(600, 700))))
    with mine.running("materializer", **restart):
        wait_until(lambda: ended(mine.database_url) == 700, "all of it again", 60)
    assert asyncio.run(table_difference(mine)) == []


def test_a_table_that_goes_back_under_a_running_materializer_is_filled_after_its_restart(
    mine: Pipeline,
) -> None:
    asyncio.run(append(mine, course(mine.epoch.epoch, range(200))))
    with mine.start("materializer") as program:
        wait_until(lambda: ended(mine.database_url) == 200, "the first", 60)
        with psycopg.connect(mine.database_url, autocommit=True) as connection:
            connection.execute(
                "TRUNCATE jobs, job_attempts, job_logs, job_scores, retry_decisions, stage_offsets"
            )
        asyncio.run(append(mine, course(mine.epoch.epoch, range(200, 250))))
        assert program.process.wait(60) == 1
    assert "starting over from the log fills it" in program.output
    assert "Traceback" not in program.output
    with mine.running("materializer"):
        wait_until(lambda: ended(mine.database_url) == 250, "all of it again", 60)
    assert asyncio.run(table_difference(mine)) == []
