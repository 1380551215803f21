"""The commands for people on a real Kafka and Postgres: what they print, and their exit codes."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner, Result

from adapters.postgres.migrate import upgrade
from core.ledger.notes import Accepted
from core.log import NewRecord, Record
from core.services import JOB_SERVICES
from penstock.cli.main import build
from penstock.connection import DatabaseConnection
from schemas.codec import encode, ledger_record
from schemas.executors import Heartbeat
from services.ingest.decide import IngestContext, Rejected, decide
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

ID = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"
NOWHERE = {
    "PENSTOCK_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "PENSTOCK_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d",
}

Cli = Callable[..., Result]


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        upgrade(DatabaseConnection.model_validate({"url": database_url}))
        # A .penstock of the checkout must not fill what the environment leaves out.
        monkeypatch.chdir(tmp_path)
        yield prepared


@pytest.fixture
def cli(mine: Pipeline) -> Cli:
    environment = mine.environment("cli")

    def run(*arguments: str, code: int = 0, typed: str | None = None) -> Result:
        result = CliRunner().invoke(build(arguments[0]), list(arguments), env=environment, input=typed)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result

    return run


def read_json(result: Result) -> Any:
    return json.loads(result.stdout)


def put_job(mine: Pipeline, number: int, state: str, ended_days_ago: int | None = None) -> str:
    job_id = f"00000000-0000-7000-8000-{number:012d}"
    with psycopg.connect(mine.database_url) as connection:
        connection.execute(
            "INSERT INTO jobs "
            "(job_id, state, state_rank, type, tenant, submitted_at, updated_at, finished_at) "
            "VALUES (%s, %s, 1, 'a.b', 'acme', now() - make_interval(mins => %s), now(), "
            "now() - make_interval(days => %s))",
            (job_id, state, number, ended_days_ago),
        )
        connection.execute(
            "INSERT INTO job_attempts (job_id, n, outcome, error_class, error_message, decision) "
            "VALUES (%s, 1, 'failed', 'transient', 'no route', 'retry')",
            (job_id,),
        )
        connection.execute(
            "INSERT INTO job_logs (job_id, n, seq, at, level, message) "
            "VALUES (%s, 1, 0, now(), 'info', 'hello')",
            (job_id,),
        )
        connection.execute(
            "INSERT INTO job_scores (job_id, n, decided_at, model, features, vector) "
            "VALUES (%s, 1, now(), 'ewma', '0a1b2c3d', '')",
            (job_id,),
        )
    return job_id


def test_submitted_jobs_are_in_the_topic(mine: Pipeline, cli: Cli) -> None:
    refs = read_json(
        cli("submit", "a.b", "--payload", '{"x": 1}', "--priority", "9", "--count", "3", "--json")
    )
    records = {(r.partition, r.offset): r for r in mine.read(mine.routes.jobs)}
    assert len(refs) == len(records) == 3
    for ref in refs:
        value = records[ref["partition"], ref["offset"]].value
        assert value is not None
        assert msgspec.json.decode(value) == {"type": "a.b", "payload": {"x": 1}, "priority": 9}


def test_a_file_of_jobs_is_submitted_or_not_a_single_one(mine: Pipeline, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "jobs.ndjson"
    file.write_text('{"type": "a.b"}\n{"priority": 3}\n')
    assert "line 2" in cli("submit", "--file", str(file), code=2).stderr
    assert mine.read(mine.routes.jobs) == []
    assert len(cli("submit", "c.d", "--file", str(file)).stdout.split()) == 2
    lines = '{"type": "e.f"}\n' * 3
    assert len(read_json(cli("submit", "--file", "-", "--json", typed=lines))) == 3


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["a.b", "--priority", "12"], "priority"),
        (["a.b", "--payload", "{x"], "not JSON"),
        (["a.b", "--run-at", "tomorrow"], "RFC 3339"),
        (["a.b", "--count", "2", "--idempotency-key", "k"], "--count"),
        ([], "TYPE"),
        (["a.b", "--job-id", ID, "--idempotency-key", "k"], "idempotency_key"),
    ],
)
def test_a_wrong_submit_is_explained_and_sends_nothing(
    mine: Pipeline, cli: Cli, arguments: list[str], names: str
) -> None:
    assert names in cli("submit", *arguments, code=2).stderr
    assert mine.read(mine.routes.jobs) == []


def test_a_wait_that_ends_before_the_job_fails(cli: Cli) -> None:
    assert "goes on" in cli("submit", "a.b", "--wait", "--wait-timeout", "100ms", code=1).stderr


def test_a_job_is_shown_with_its_attempts_and_lines(mine: Pipeline, cli: Cli) -> None:
    job = put_job(mine, 1, "succeeded")
    shown = read_json(cli("get", job, "--json"))
    assert shown["job"]["state"] == "succeeded"
    assert shown["attempts"][0]["error_message"] == "no route"
    text = cli("get", job).stdout
    assert "succeeded" in text
    assert "transient: no route" in text
    assert "hello" in cli("logs", job).stdout
    assert read_json(cli("logs", job, "--json"))[0]["message"] == "hello"


def test_a_job_the_table_does_not_know_is_exit_code_1(cli: Cli) -> None:
    assert ID in cli("get", ID, code=1).stderr
    assert "no job id" in cli("get", "seven", code=2).stderr


def test_a_list_is_filtered_and_newest_first(mine: Pipeline, cli: Cli) -> None:
    jobs = [put_job(mine, number, state) for number, state in ((1, "dead"), (2, "queued"), (200, "dead"))]

    def listed(*options: str) -> list[str]:
        return [row["job_id"] for row in read_json(cli("list", "--json", *options))]

    assert listed() == jobs
    assert listed("--state", "dead") == [jobs[0], jobs[2]]
    assert listed("--state", "dead", "--state", "queued", "--since", "1h") == jobs[:2]
    assert listed("--limit", "1") == jobs[:1]
    assert listed("--tenant", "nobody") == []
    assert listed("--type", "a.b") == jobs
    assert jobs[2] in cli("list").stdout
    cli("list", "--state", "sleeping", code=2)


def test_a_cancel_is_appended_for_an_open_job_only(mine: Pipeline, cli: Cli) -> None:
    open_job, ended = put_job(mine, 1, "queued"), put_job(mine, 2, "dead")
    assert "asked to cancel" in cli("cancel", open_job, "--reason", "why not").stdout
    assert "dead already" in cli("cancel", ended, code=1).stderr
    (record,) = mine.read(mine.routes.ledger)
    assert record.value is not None
    assert msgspec.json.decode(record.value)["reason"] == "why not"
    line = cli("tail", "--last", "5", "--count", "1").stdout
    assert open_job in line
    assert "cancel asked by cli:" in line


def test_a_tail_follows_one_job_of_the_ledger(mine: Pipeline, cli: Cli) -> None:
    events = [accepted(number) for number in range(10)]
    mine.append([ledger_record(mine.routes, event) for event in events])
    wanted = events[7].job_id
    shown = read_json(cli("tail", "--job", wanted, "--last", "10", "--count", "1", "--json"))
    assert (shown["key"], shown["value"]["kind"]) == (wanted, "ACCEPTED")
    assert "accepted a.b of acme" in cli("tail", "--job", wanted, "--last", "10", "--count", "1").stdout
    assert "penstock topics" in cli("tail", "--topic", "nothing", code=2).stderr


def accepted(number: int) -> Accepted:
    return Accepted(
        origin=f"e:0:{number}",
        job_id=f"00000000-0000-7000-8000-{number:012d}",
        type="a.b",
        tenant="acme",
        pool="default",
        priority=5,
        submitted_ms=1,
        timeout_s=1,
        max_attempts=1,
        payload=msgspec.Raw(b"{}"),
        payload_bytes=2,
        trace_id="",
    )


def test_topics_say_what_stands_in_them(mine: Pipeline, cli: Cli) -> None:
    cli("submit", "a.b", "--count", "7")
    rows = {row["topic"]: row for row in read_json(cli("topics", "--json"))}
    assert rows[mine.routes.jobs]["records"] == 7
    assert rows[mine.routes.jobs]["read_by"] == "ingest"
    assert set(rows) == {spec.name for spec in mine.routes.specs()}
    assert mine.routes.ledger in cli("topics").stdout


def test_lag_is_what_a_group_has_not_committed(mine: Pipeline, cli: Cli) -> None:
    assert read_json(cli("lag", "--json")) == []
    cli("submit", "a.b", "--count", "5")

    async def commit_the_first() -> None:
        consumer = AIOKafkaConsumer(
            mine.routes.jobs,
            **mine.kafka.client_options(),
            group_id=f"{mine.routes.prefix}penstock.ingest",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            await consumer.getmany(timeout_ms=10_000, max_records=1)
            await consumer.commit()
        finally:
            await consumer.stop()

    asyncio.run(commit_the_first())
    (row,) = read_json(cli("lag", "--json"))
    assert (row["topic"], row["end"]) == (mine.routes.jobs, 5)
    assert row["lag"] == 5 - row["committed"] > 0
    assert mine.routes.jobs in cli("lag").stdout


def test_sql_reads_one_statement_and_nothing_else(mine: Pipeline, cli: Cli) -> None:
    put_job(mine, 1, "dead")
    assert read_json(cli("sql", "SELECT state FROM jobs", "--json")) == [{"state": "dead"}]
    assert "dead" in cli("sql", "SELECT state FROM jobs").stdout
    assert "read-only" in cli("sql", "DELETE FROM jobs", code=1).stderr
    assert "one statement" in cli("sql", "SELECT 1; DELETE FROM jobs", code=1).stderr
    assert "syntax error" in cli("sql", "SELEC", code=1).stderr
    many = cli("sql", "SELECT * FROM generate_series(1, 2000) AS n", "--json")
    assert [row["n"] for row in read_json(many)] == list(range(1, 1001))
    assert "first 1000 rows" in many.stderr


def test_a_purge_removes_old_ended_jobs_with_all_they_have(mine: Pipeline, cli: Cli) -> None:
    kept = [put_job(mine, 1, "succeeded", 29), put_job(mine, 2, "queued")]
    put_job(mine, 3, "succeeded", 31)
    put_job(mine, 4, "dead", 400)
    assert read_json(cli("purge", "--older-than", "30d", "--dry-run", "--json"))["would_remove_jobs"] == 2
    assert "--yes" in cli("purge", "--older-than", "30d", code=2).stderr
    purged = read_json(cli("purge", "--older-than", "30d", "--yes", "--json"))
    assert purged == {"jobs": 2, "attempts": 2, "lines": 2, "scores": 2, "decisions": 0}
    for table in ("jobs", "job_attempts", "job_logs", "job_scores"):
        rows = read_json(
            cli("sql", f"SELECT DISTINCT job_id::text AS job_id FROM {table} ORDER BY 1", "--json")
        )
        assert [row["job_id"] for row in rows] == kept
    assert "0 jobs" in cli("purge", "--older-than", "30d").stdout


def test_rejected_records_are_listed_and_shown_with_their_bytes(mine: Pipeline, cli: Cli) -> None:
    mine.append(
        [rejection(mine, offset, value) for offset, value in enumerate((b"{}", b'{"x":1}', None, b"\xff"))]
    )
    rows = read_json(cli("rejected", "list", "--json"))
    assert [row["reason"] for row in rows] == ["bad_utf8", "null_record", "unknown_field", "missing_field"]
    assert [r["reason"] for r in read_json(cli("rejected", "list", "--limit", "1", "--json"))] == ["bad_utf8"]
    (one,) = read_json(cli("rejected", "list", "--reason", "unknown_field", "--json"))
    assert one["field"] == "x"
    text = cli("rejected", "show", one["coordinate"]).stdout
    assert '{"x":1}' in text
    assert "belongs into `payload`" in text
    assert "\\xff" in cli("rejected", "show", "0/3").stdout
    assert "had no value" in cli("rejected", "show", "0/2").stdout
    assert read_json(cli("rejected", "show", "0/1", "--json"))["value_base64"] == "eyJ4IjoxfQ=="
    assert "nothing was rejected" in cli("rejected", "show", "1/1", code=1).stderr
    assert "no partition 9" in cli("rejected", "show", "9/1", code=1).stderr
    assert one["coordinate"] in cli("rejected", "list").stdout


def rejection(mine: Pipeline, offset: int, value: bytes | None) -> NewRecord:
    record = Record(mine.routes.jobs, 0, offset, 1000 + offset, None, value, ())
    decision = decide(record, IngestContext("e", mine.routes.partitions, frozenset({"default"})))
    assert isinstance(decision, Rejected)
    return NewRecord(mine.routes.rejected, 0, None, encode(decision.record))


def test_an_executor_is_listed_and_asked_to_drain(mine: Pipeline, cli: Cli) -> None:
    beat = Heartbeat("boot-1", "executor-0", "default", 1, ("e:0:1/1",), 32, 0, host="h", pid=7)
    mine.append([NewRecord(mine.routes.executors, 0, b"boot-1", encode(beat))])
    (row,) = read_json(cli("executors", "list", "--json"))
    assert (row["instance"], row["boot_id"], row["held"], row["state"]) == (
        "executor-0",
        "boot-1",
        ["e:0:1/1"],
        "alive",
    )
    assert "executor-0" in cli("executors", "drain", "executor-9", code=1).stderr
    cli("executors", "drain", "executor-0")
    assert read_json(cli("executors", "list", "--json"))[0]["state"] == "draining"
    cli("executors", "drain", "executor-0", "--undo")
    assert read_json(cli("executors", "list", "--json"))[0]["state"] == "alive"
    assert "boot-1" in cli("executors", "list").stdout


def test_a_watch_shows_the_states_and_follows_a_job_to_its_end(mine: Pipeline, cli: Cli) -> None:
    job = put_job(mine, 1, "succeeded")
    assert "succeeded" in cli("watch", "--rounds", "2", "--interval", "10ms").stdout
    shown = read_json(cli("watch", "--rounds", "1", "--json"))
    assert shown["jobs"] == {"succeeded": 1}
    assert "succeeded" in cli("watch", job).stdout
    assert read_json(cli("watch", job, "--json"))["state"] == "succeeded"


def test_jobs_run_and_people_see_what_became_of_them(mine: Pipeline, cli: Cli) -> None:
    """The whole pipeline: a success, a failure, a refusal and a cancel, as the commands tell them."""
    names = list(JOB_SERVICES)
    with mine.running(*names):
        (done,) = read_json(
            cli("submit", "penstock.replay", "--payload", OK, "--wait-timeout", "90s", "--json")
        )
        assert done["state"] == "succeeded"
        failed = cli("submit", "penstock.replay", "--payload", BAD, "--wait-timeout", "60s", code=1)
        assert "dead" in failed.stdout
        refused = cli("submit", "a.b", "--pool", "nowhere", "--wait-timeout", "60s", code=1)
        assert "unknown_pool" in refused.stderr
        (late,) = read_json(cli("submit", "penstock.replay", "--payload", OK, "--run-at", "+1h", "--json"))
        wait_until(lambda: read_state_of(cli, late["job_id"]) == "waiting", "the job waits", 60)
        cli("cancel", late["job_id"])
        cli("watch", late["job_id"])
        assert read_state_of(cli, late["job_id"]) == "cancelled"
        (executor,) = read_json(cli("executors", "list", "--json"))
        assert executor["state"] == "alive"
        groups = {row["group"].rpartition(".")[2] for row in read_json(cli("lag", "--json"))}
        assert groups >= {"ingest", "default"}
    attempts = read_json(cli("get", done["job_id"], "--json"))["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["succeeded"]


OK, BAD = '{"run_s": 0.01, "outcome": "ok"}', '{"run_s": 0.01, "outcome": "permanent"}'


def read_state_of(cli: Cli, job_id: str) -> str | None:
    rows = read_json(cli("sql", f"SELECT state FROM jobs WHERE job_id = '{job_id}'", "--json"))
    return rows[0]["state"] if rows else None


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "a.b"],
        ["get", ID],
        ["list"],
        ["cancel", ID],
        ["logs", ID],
        ["watch"],
        ["tail"],
        ["topics"],
        ["lag"],
        ["sql", "SELECT 1"],
        ["purge", "--older-than", "1d", "--yes"],
        ["rejected", "list"],
        ["executors", "list"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_servers_a_command_says_so_in_a_line(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(build(arguments[0]), arguments, env=NOWHERE)
    assert result.exit_code == 1, result.exception
    assert "penstock:" in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.output + result.stderr
