"""The tables from the ledger once more, on real servers: found, mended, interrupted, beside a writer."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.admin import RecordsToDelete
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from adapters.kafka.groups import administering
from adapters.kafka.reader import reading
from adapters.postgres.migrate import upgrade
from core.log import Record
from penstock.cli import refold
from penstock.cli.main import build
from penstock.connection import DatabaseConnection
from ports.snapshots import SnapshotStore
from schemas.ledger import LedgerFolds
from tests.integration.test_materializer import append, course, ended, table_difference
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        monkeypatch.chdir(tmp_path)
        yield prepared


def rebuild(mine: Pipeline, *arguments: str, code: int = 0) -> Any:
    return json.loads(run(mine, *arguments, "--json", code=code).stdout)


def run(mine: Pipeline, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(build("rebuild"), ["rebuild", *arguments], env=mine.environment("cli"))
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result


def execute(mine: Pipeline, *statements: str) -> None:
    with psycopg.connect(mine.database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def filled(mine: Pipeline, jobs: int) -> None:
    asyncio.run(append(mine, course(mine.epoch.epoch, range(jobs))))
    with mine.running("materializer"):
        wait_until(lambda: ended(mine.database_url) == jobs, "the table is filled", 60)


DAMAGE = (
    "DELETE FROM jobs WHERE origin_offset = 3",
    "UPDATE jobs SET state = 'dead', state_rank = 100000 WHERE origin_offset = 5",
    "UPDATE jobs SET error_message = 'never said' WHERE origin_offset = 7",
    "UPDATE job_attempts SET run_s = 99 WHERE job_id = (SELECT job_id FROM jobs WHERE origin_offset = 9)",
    "INSERT INTO jobs (job_id, state, state_rank) VALUES (gen_random_uuid(), 'accepted', 0)",
    (
        "INSERT INTO jobs (job_id, state, state_rank, origin_epoch) "
        "VALUES (gen_random_uuid(), 'succeeded', 100, 'earlier')"
    ),
)


def test_what_is_wrong_is_named_by_row_and_column_and_mended(mine: Pipeline) -> None:
    filled(mine, 40)
    assert rebuild(mine, "--verify")["differing_rows"] == 0
    execute(mine, *DAMAGE)
    found = rebuild(mine, "--verify", code=1)
    assert found["from_the_beginning"]
    assert found["differing_rows"] == 5
    shown = {one["row"]: one for one in found["first"]}
    assert sorted(str(one["missing_in"]) for one in shown.values()) == [
        "None",
        "None",
        "None",
        "log",
        "table",
    ]
    columns = {name for one in shown.values() for name in one["columns"]}
    assert columns == {"state", "state_rank", "error_message", "run_s"}
    text = run(mine, "--verify", code=1).stdout
    assert "run_s is 99" in text
    assert "the log says 0.25" in text
    # Looking has changed nothing and left nothing.
    assert rebuild(mine, "--verify", code=1)["differing_rows"] == 5
    assert rebuild(mine, "--yes")["changed_rows"]["jobs"] == 4
    assert rebuild(mine, "--verify")["differing_rows"] == 0
    assert asyncio.run(table_difference(mine)) == []
    with psycopg.connect(mine.database_url) as connection:
        kept = connection.execute("SELECT count(*) FROM jobs WHERE origin_epoch = 'earlier'").fetchone()
        left = connection.execute("SELECT to_regnamespace('penstock_rebuild')").fetchone()
    assert (kept, left) == ((1,), (None,))


def test_an_empty_database_is_filled_beside_a_materializer_that_works(mine: Pipeline) -> None:
    filled(mine, 300)
    execute(mine, "TRUNCATE jobs, job_attempts, job_logs, retry_decisions, stage_offsets")
    asyncio.run(append(mine, course(mine.epoch.epoch, range(300, 350))))
    with mine.running("materializer"):
        rebuild(mine, "--yes")
        asyncio.run(append(mine, course(mine.epoch.epoch, range(350, 400))))
        rebuild(mine, "--verify")
        wait_until(lambda: ended(mine.database_url) == 400, "everything is there", 60)
        rebuild(mine, "--verify")
    assert asyncio.run(table_difference(mine)) == []


class CrashError(Exception):
    """Stands for a kill between two batches."""


def test_an_interrupted_rebuild_goes_on_where_it_was(mine: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(mine, 200)
    execute(mine, *DAMAGE)
    folded: list[int] = []
    monkeypatch.setattr(refold, "BATCH_MAX", 100)
    fold_to = refold.Refold.fold_to

    async def crashing(self: refold.Refold, targets: dict[int, int]) -> None:
        def report(done: int, _: int) -> None:
            folded.append(done)
            if done >= 300:
                raise CrashError

        self._report = report
        await fold_to(self, targets)

    monkeypatch.setattr(refold.Refold, "fold_to", crashing)
    result = CliRunner().invoke(build("rebuild"), ["rebuild", "--yes"], env=mine.environment("cli"))
    assert isinstance(result.exception, CrashError)
    assert rebuild_positions(mine) >= 300
    monkeypatch.setattr(refold.Refold, "fold_to", fold_to)
    rebuild(mine, "--yes")
    assert rebuild(mine, "--verify")["differing_rows"] == 0
    assert asyncio.run(table_difference(mine)) == []


def rebuild_positions(mine: Pipeline) -> int:
    with psycopg.connect(mine.database_url) as connection:
        row = connection.execute("SELECT sum(next_offset) FROM penstock_rebuild.stage_offsets").fetchone()
    assert row is not None
    return int(row[0])


async def trim(mine: Pipeline) -> int:
    """Write snapshots of the ledger as it is, and remove everything before; give how much is gone."""
    records: list[Record] = await mine.read_async(mine.routes.ledger)
    folds = LedgerFolds(mine.epoch.epoch, with_notes=False)
    folds.take(records)
    ends = {number: folds.next_offset(number) for number in range(mine.routes.partitions)}
    async with mine.appender() as appender, reading(mine.kafka, client_id="test") as reader:
        store = SnapshotStore(mine.routes, mine.epoch.epoch, appender, reader, "test")
        for number in ends:
            await store.save(number, folds.fold(number).image())
    async with administering(mine.kafka) as admin:
        await admin.delete_records(
            {AioTopicPartition(mine.routes.ledger, n): RecordsToDelete(end) for n, end in ends.items()}
        )
    return sum(ends.values())


def test_of_a_trimmed_ledger_the_rest_is_told_and_older_rows_stay(mine: Pipeline) -> None:
    filled(mine, 50)
    gone = asyncio.run(asyncio.wait_for(trim(mine), 20))
    asyncio.run(append(mine, course(mine.epoch.epoch, range(50, 80))))
    with mine.running("materializer"):
        wait_until(lambda: ended(mine.database_url) == 80, "the table is filled", 60)
    found = rebuild(mine, "--verify")
    assert not found["from_the_beginning"]
    assert sum(found["begins_at"].values()) == gone
    assert found["differing_rows"] == 0
    # One row of what is gone, two of what is left.
    execute(
        mine,
        "UPDATE jobs SET tenant = 'old' WHERE origin_offset = 3",
        "UPDATE jobs SET tenant = 'wrong' WHERE origin_offset = 60",
        "DELETE FROM jobs WHERE origin_offset = 61",
    )
    found = rebuild(mine, "--verify", code=1)
    assert [(one["missing_in"], list(one["columns"])) for one in found["first"]] in (
        [(None, ["tenant"]), ("table", [])],
        [("table", []), (None, ["tenant"])],
    )
    rebuild(mine, "--yes")
    assert rebuild(mine, "--verify")["differing_rows"] == 0
    with psycopg.connect(mine.database_url) as connection:
        tenants = connection.execute("SELECT tenant, count(*) FROM jobs GROUP BY 1 ORDER BY 1").fetchall()
    assert tenants == [("acme", 79), ("old", 1)]


def test_two_at_once_do_not_mix(mine: Pipeline) -> None:
    with psycopg.connect(mine.database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x50454E5245425549,))
        assert "another `penstock rebuild` runs" in run(mine, "--verify", code=1).stderr
