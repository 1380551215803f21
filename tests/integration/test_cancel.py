"""Cancels on real servers: what the command asks for, and what becomes of waiting and running jobs."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from adapters.postgres.migrate import upgrade
from core.ledger.verdicts import Cancel
from core.services import JOB_SERVICES
from penstock.cli.main import build
from penstock.client import JobFilter, SubmittedRef, SyncClient
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from schemas.codec import decode_if_verdict
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

ID = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"
WAIT_S = 90.0
APP = """
import os, time
from pathlib import Path
from penstock import task

@task("deaf")
def deaf(ctx, payload):
    Path(payload["file"]).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)

@task("neighbour")
def neighbour(ctx, payload):
    while not Path(payload["file"]).exists():
        time.sleep(0.01)
    return ctx.attempt

@task("noop")
async def noop(ctx, payload):
    return None
"""

Cli = Callable[..., Result]


@pytest.fixture
def quiet(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """Topics and tables, and nothing that runs."""
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_of_cancel.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        yield prepared


def settings_of(mine: Pipeline) -> dict[str, str]:
    return {
        "PENSTOCK_APP": "tasks_of_cancel",
        "PENSTOCK_APP_PATH": str(mine.directory / "app"),
        "PENSTOCK_WORKERS": "1",
        "PENSTOCK_LEASE_S": "6",
        "PENSTOCK_HEARTBEAT_S": "0.5",
        "PENSTOCK_CANCEL_GRACE_S": "1",
    }


@pytest.fixture
def cli(quiet: Pipeline) -> Cli:
    environment = quiet.environment("cli")

    def run(*arguments: str, code: int = 0, **changed: str) -> Result:
        result = CliRunner().invoke(build(arguments[0]), list(arguments), env=environment | changed)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result

    return run


def client_of(mine: Pipeline) -> dict[str, Any]:
    return {
        "kafka": KafkaConnection(bootstrap=mine.servers.kafka_bootstrap),
        "database": DatabaseConnection(url=SecretStr(mine.database_url)),
        "names": PipelineNames(topic_prefix=mine.routes.prefix, partitions=mine.routes.partitions),
    }


def put_row(mine: Pipeline, number: int, state: str = "queued", **columns: Any) -> str:
    job_id = f"00000000-0000-7000-8000-{number:012d}"
    values = {
        "job_id": job_id,
        "state": state,
        "state_rank": 1,
        "type": "a.b",
        "tenant": "acme",
        "submitted_at": datetime.now(UTC) - timedelta(minutes=number),
        "origin_epoch": mine.epoch.epoch,
        "origin_partition": 0,
        "origin_offset": number,
        **columns,
    }
    names, places = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    with psycopg.connect(mine.database_url) as connection:
        connection.execute(f"INSERT INTO jobs ({names}) VALUES ({places})", values)
    return job_id


def cancels(mine: Pipeline) -> dict[str, Cancel]:
    events = [decode_if_verdict(record) for record in mine.read(mine.routes.ledger)]
    return {event.job_id: event for event in events if isinstance(event, Cancel)}


def test_a_job_nobody_knows_is_cancelled_by_its_id_with_and_without_the_table(
    quiet: Pipeline, cli: Cli
) -> None:
    told = cli("cancel", ID, "--reason", "mistake").stdout
    assert "does not know" in told
    assert "24 hours" in told
    found = cancels(quiet)[ID]
    assert (found.origin, found.reason) == ("", "mistake")
    nowhere = "postgresql://u:secret@127.0.0.1:1/d"
    shown = json.loads(cli("cancel", ID, "--json", PENSTOCK_DATABASE_URL=nowhere).stdout)
    assert shown == {"job_id": ID, "was": None, "state": None}


def test_a_job_the_table_knows_is_cancelled_by_its_origin_and_one_that_ended_is_not(
    quiet: Pipeline, cli: Cli
) -> None:
    job, ended = put_row(quiet, 1), put_row(quiet, 2, "dead")
    assert json.loads(cli("cancel", job, "--json").stdout)["was"] == "queued"
    assert cancels(quiet)[job].origin == f"{quiet.epoch.epoch}:0:1"
    assert "dead already" in cli("cancel", ended, code=1).stderr
    assert ended not in cancels(quiet)


def test_the_materializer_names_the_job_of_a_cancel_that_knows_only_its_id(quiet: Pipeline, cli: Cli) -> None:
    due, nowhere = timedelta(days=2), "postgresql://u:secret@127.0.0.1:1/d"

    def named(job_id: str) -> Cancel | None:
        found = cancels(quiet).get(job_id)
        return found if found is not None and found.origin else None

    with (
        quiet.running("ingest"),
        quiet.running("scheduler"),
        quiet.running("materializer"),
        SyncClient(**client_of(quiet)) as client,
    ):
        cli("cancel", ID, "--reason", "mistake", PENSTOCK_DATABASE_URL=nowhere)
        client.submit("noop", {}, job_id=ID, run_at=datetime.now(UTC) + due)
        wait_until(lambda: named(ID), "the origin of a job that came after its cancel", WAIT_S)
        waiting = client.submit("noop", {}, run_at=datetime.now(UTC) + due).job_id
        wait_until(lambda: client.get(waiting), "its row", WAIT_S)
        cli("cancel", waiting, PENSTOCK_DATABASE_URL=nowhere)
        wait_until(lambda: named(waiting), "the origin of a job that came before its cancel", WAIT_S)
        assert client.settled([waiting], WAIT_S) == {"cancelled": 1}
    first = cancels(quiet)[ID]
    assert (first.reason, first.by.startswith("cli:")) == ("mistake", True)


@pytest.mark.parametrize(
    "arguments", [(), (ID, "--workflow", "w"), ("--workflow", "w", "--filter", "type=a"), (ID, "--dry-run")]
)
def test_a_cancel_names_one_thing(cli: Cli, arguments: tuple[str, ...]) -> None:
    cli("cancel", *arguments, code=2)


def test_a_filter_counts_asks_and_cancels_exactly_what_is_open_and_meets_it(
    quiet: Pipeline, cli: Cli
) -> None:
    wanted = [put_row(quiet, number, labels='{"x": "y", "z": "1"}') for number in range(70, 2600)]
    wanted.append(put_row(quiet, 2700, "running", labels='{"x": "y"}', origin_offset=None))
    others = [
        put_row(quiet, 1, labels='{"x": "y"}'),
        put_row(quiet, 3000, "dead", labels='{"x": "y"}'),
        put_row(quiet, 3001, labels='{"x": "n"}'),
        put_row(quiet, 3002, tenant="other", labels='{"x": "y"}'),
        put_row(quiet, 3003, type="c.d", labels='{"x": "y"}'),
    ]
    which = ("--filter", "type=a.b tenant=acme", "--filter", "label.x=y older-than=1h")
    assert json.loads(cli("cancel", *which, "--dry-run", "--json").stdout) == {
        "found": {"queued": 2530, "running": 1},
        "asked": 0,
    }
    assert "would cancel 2531 jobs (2530 queued, 1 running)" in cli("cancel", *which, "--dry-run").stdout
    assert "add --yes" in cli("cancel", *which, code=2).stderr
    assert cancels(quiet) == {}
    done = json.loads(cli("cancel", *which, "--yes", "--rate", "0", "--json").stdout)
    assert done == {"found": {"queued": 2530, "running": 1}, "asked": 2531, "settled": None}
    found = cancels(quiet)
    assert found.keys() == set(wanted)
    assert not found.keys() & set(others)
    assert found[wanted[0]].origin == f"{quiet.epoch.epoch}:0:70"
    assert found[wanted[-1]].origin == ""
    assert "no open job" in cli("cancel", "--filter", "type=x.y", "--yes").stdout


def test_the_client_cancels_by_the_origin_wherever_the_table_knows_it(quiet: Pipeline) -> None:
    known = [put_row(quiet, number) for number in (1, 2)]
    half_known = put_row(quiet, 3, origin_offset=None)
    with SyncClient(**client_of(quiet)) as client:
        client.cancel(known[0])
        client.cancel_many([known[1], half_known, ID])
    origins = {job_id: cancel.origin for job_id, cancel in cancels(quiet).items()}
    epoch = quiet.epoch.epoch
    assert origins == {known[0]: f"{epoch}:0:1", known[1]: f"{epoch}:0:2", half_known: "", ID: ""}


def test_a_bulk_cancel_keeps_its_pace_and_tells_of_its_progress(quiet: Pipeline) -> None:
    for number in range(1500):
        put_row(quiet, number, workflow_id="w")
    seen: list[int] = []
    began_s = time.monotonic()
    with SyncClient(**client_of(quiet)) as client:
        report = client.cancel_matching(
            JobFilter(workflow_ids=("w",)), rate_per_s=1000, progress=lambda so_far: seen.append(so_far.asked)
        )
        assert client.count_matching(JobFilter(workflow_ids=("w",))) == {"queued": 1500}
    assert time.monotonic() - began_s >= 1.5
    assert (report.asked, seen) == (1500, [1000, 1500])


def test_cancelled_jobs_never_start_or_are_killed_and_their_neighbours_lose_nothing(
    quiet: Pipeline, cli: Cli
) -> None:
    """The whole pipeline: by id before arrival, in the wheel, and a handler that is deaf."""
    early = "01890000-0000-7000-8000-000000000001"
    cli("cancel", early)
    file, go = quiet.directory / "deaf", quiet.directory / "go"
    with (
        SyncClient(**client_of(quiet)) as client,
        quiet.running(*JOB_SERVICES, **settings_of(quiet)),
    ):
        refs = {
            "early": client.submit("noop", job_id=early),
            "wheel": client.submit("noop", run_at=datetime.now(UTC) + timedelta(hours=1)),
            "deaf": client.submit("deaf", {"file": str(file)}),
            "neighbour": client.submit("neighbour", {"file": str(go)}),
        }
        for name, state in (("wheel", "waiting"), ("deaf", "running"), ("neighbour", "running")):
            wait_until(is_in(state, client, refs[name]), f"{name} is {state}", WAIT_S)
        wait_until(lambda: file.exists() and file.read_text() != "", "the job runs", WAIT_S)
        pid = int(file.read_text())
        client.cancel_many([refs["wheel"], refs["deaf"]], reason="test")
        killed = client.wait(refs["deaf"], timeout_s=WAIT_S)
        go.touch()
        rows = {name: client.wait(ref, timeout_s=WAIT_S) for name, ref in refs.items()}
    assert {name: row.state for name, row in rows.items()} == {
        "early": "cancelled",
        "wheel": "cancelled",
        "deaf": "cancelled",
        "neighbour": "succeeded",
    }
    assert rows["early"].started_at is None
    assert rows["wheel"].started_at is None
    assert "its worker was killed" in str(killed.error_message)
    assert (rows["neighbour"].attempt, rows["neighbour"].result) == (1, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_job_whose_executor_dies_after_its_cancel_ends_as_cancelled(quiet: Pipeline, cli: Cli) -> None:
    file = quiet.directory / "deaf"
    others = [name for name in JOB_SERVICES if name != "executor"]
    slow = settings_of(quiet) | {"PENSTOCK_CANCEL_GRACE_S": "3600"}
    with SyncClient(**client_of(quiet)) as client, quiet.running(*others, **slow):
        with quiet.start("executor", **slow) as executor:
            ref = client.submit("deaf", {"file": str(file)})
            wait_until(lambda: file.exists() and file.read_text() != "", "the job runs", WAIT_S)
            wait_until(is_in("running", client, ref), "the row says so", WAIT_S)
            client.cancel(ref)
            wait_until(lambda: "stopping a job: cancelled" in executor.output, "the signal", WAIT_S)
            executor.process.send_signal(signal.SIGKILL)
            executor.process.wait(30)
        shown = json.loads(cli("cancel", "--filter", "type=deaf", "--dry-run", "--json").stdout)
        assert shown["found"] == {"running": 1}
        assert client.settled([ref.job_id], WAIT_S) == {"cancelled": 1}
        row = client.get(ref)
        assert row is not None
        assert (row.attempt, row.error_class) == (1, "lost")


def is_in(state: str, client: SyncClient, ref: SubmittedRef) -> Callable[[], bool]:
    def look() -> bool:
        row = client.get(ref)
        return row is not None and row.state == state

    return look
