"""The dead-letter desk on real servers: what is shown, redriven, edited, settled, stopped, written down."""

import csv
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from adapters.postgres.migrate import upgrade
from core.log import NewRecord
from core.services import JOB_SERVICES
from penstock.cli.main import build
from penstock.client import SyncClient
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from schemas.codec import decode_dead
from tests.support.chat_server import chat_server_apart, sends
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

WAIT_S = 150.0
APP = """
from pathlib import Path
from penstock import PermanentError, task

class NoAddressError(PermanentError):
    pass

@task("mail.send")
def send(ctx, payload):
    ctx.log.info("sending")
    if "bad" in payload:
        raise NoAddressError(f"no address in {payload['secret']}")
    if not Path(payload["up"]).exists():
        raise PermanentError(f"mailbox {ctx.job_id} refused")
    return {"to": payload.get("to")}
"""
Cli = Callable[..., Result]


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_of_desk.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    settings = {
        "PENSTOCK_APP": "tasks_of_desk",
        "PENSTOCK_APP_PATH": str(app),
        "PENSTOCK_WORKERS": "1",
    }
    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared,
        prepared.running(*JOB_SERVICES, **settings),
    ):
        yield prepared


@pytest.fixture
def cli(mine: Pipeline, tmp_path: Path) -> Cli:
    environment = mine.environment("cli", XDG_CACHE_HOME=str(tmp_path / "cache"))

    def run(*arguments: str, code: int = 0, **changed: str) -> Result:
        result = CliRunner().invoke(build("dlq"), ["dlq", *arguments], env=environment | changed)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result

    return run


def read_json(result: Result) -> Any:
    return json.loads(result.stdout)


def submit(mine: Pipeline, count: int, **payload: Any) -> list[str]:
    kafka = KafkaConnection(bootstrap=mine.servers.kafka_bootstrap)
    database = DatabaseConnection(url=SecretStr(mine.database_url))
    names = PipelineNames(topic_prefix=mine.routes.prefix, partitions=mine.routes.partitions)
    with SyncClient(kafka=kafka, database=database, names=names) as client:
        refs = [
            client.submit("mail.send", payload, tenant="acme", labels={"wave": "one"}, sensitive=["/secret"])
            for _ in range(count)
        ]
    return [str(ref.job_id) for ref in refs]


def submit_raw(mine: Pipeline, **payload: Any) -> str:
    """Submit as any Kafka client does, with headers."""
    job = {
        "type": "mail.send",
        "job_id": "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10",
        "tenant": "acme",
        "labels": {"wave": "one"},
        "sensitive": ["/secret"],
        "payload": payload,
    }
    headers = (("x-request-id", b"r-1"), ("cookie", b"session=s3cr3t"))
    mine.append([NewRecord(mine.routes.jobs, 0, None, json.dumps(job).encode(), headers)])
    return str(job["job_id"])


def states(mine: Pipeline, jobs: list[str]) -> dict[str, int]:
    query = "SELECT state, count(*) AS jobs FROM v1_jobs WHERE job_id = ANY(%s::uuid[]) GROUP BY state"
    with psycopg.connect(mine.database_url, row_factory=dict_row) as connection:
        return {row["state"]: row["jobs"] for row in connection.execute(query, [jobs]).fetchall()}


def wait_for(mine: Pipeline, jobs: list[str], **wanted: int) -> None:
    wait_until(lambda: states(mine, jobs) == wanted, f"{wanted}", WAIT_S)


def test_dead_jobs_are_shown_redriven_and_edited(mine: Pipeline, cli: Cli, tmp_path: Path) -> None:
    up = tmp_path / "up"
    jobs = submit(mine, 6, up=str(up), to="a")
    bad = submit_raw(mine, up=str(up), bad=True, secret="hunter2hunter2")
    wait_for(mine, [*jobs, bad], dead=7)
    signature = check_summary(cli)
    check_shown(cli, bad)
    check_model(cli, bad)

    # What would change something wants a filter, and an answer.
    assert "a filter needs a condition" in cli("redrive", "--filter", " ", code=2).stderr
    assert "name dead jobs" in cli("drop", "--reason", "r", code=2).stderr
    assert "add --yes" in cli("redrive", "--filter", "label.wave=one", code=2).stderr
    dry = read_json(cli("redrive", "--filter", f"signature={signature}", "--dry-run", "--json"))
    assert (dry["found"], dry["redriven"]) == (6, 0)
    assert states(mine, jobs) == {"dead": 6}

    # The cause is gone: they succeed, as new attempts of the same jobs.
    up.touch()
    args = ["--filter", f"signature={signature}", "--rate", "off", "--reason", "mailbox is back", "--yes"]
    done = read_json(cli("redrive", *args, "--wait", "--json"))
    assert (done["outcome"], done["redriven"], done["succeeded"]) == ("done", 6, 6)
    wait_for(mine, jobs, succeeded=6)

    check_edit(mine, cli, bad, str(up))
    assert read_json(cli("summary", "--json")) == []
    wait_until(lambda: _newest_act(cli)["outcome"] == "done", "the last act", WAIT_S)
    acts = read_json(cli("acts", "--json"))[::-1]
    assert [(act["what"], act["count"]) for act in acts] == [("redrive", 6), ("redrive", 1)]
    assert acts[0]["reason"] == "mailbox is back"
    assert acts[0]["said_by"].startswith("cli:")
    assert acts[1]["edit"] == "sets /to; removes /bad"


def check_summary(cli: Cli) -> str:
    """Two groups, each with what it died of; give the signature of the larger one."""
    groups = {group["count"]: group for group in read_json(cli("summary", "--json"))}
    assert set(groups) == {6, 1}
    six = groups[6]
    assert (six["types"], six["tenants"], six["error_type"]) == (["mail.send"], ["acme"], "PermanentError")
    assert six["fixable"] is None
    assert six["summary"]["by"] == "extractive"
    assert any("tasks_of_desk.py" in line and "in send" in line for line in six["summary"]["lines"])
    assert six["signature"] in cli("summary", "--filter", "dead-within=1h type=mail.send").stdout
    assert six["example"] in cli("show", six["signature"]).stdout
    assert read_json(cli("summary", "--json", "--filter", "type=other")) == []
    return str(six["signature"])


def check_shown(cli: Cli, bad: str) -> None:
    """All of one job, and nothing that is sensitive."""
    shown = read_json(cli("show", bad, "--json"))
    assert json.loads(shown["letter"]["payload"])["secret"] == "***"
    assert "NoAddressError" in shown["attempts"][0]["traceback"]
    assert any("sending" in line for line in shown["attempts"][0]["log_tail"])
    assert (shown["job"]["labels"], shown["letter"]["failures"]) == ({"wave": "one"}, 1)
    assert shown["letter"]["headers"]["x-request-id"] == "r-1"
    assert shown["letter"]["headers"]["cookie"] == "***"
    told = cli("show", bad).stdout
    assert "hunter2" not in told + json.dumps(shown)
    assert "Traceback" in told


def check_model(cli: Cli, bad: str) -> None:
    """A model that is set up words summaries; no secret is sent, and without an answer the errors speak."""
    with chat_server_apart() as server:
        model = {
            "PENSTOCK_LLM_BASE_URL": server.url,
            "PENSTOCK_LLM_API_KEY": "sk-nobody-sees-this",
            "PENSTOCK_LLM_MODEL": "m1",
        }
        result = cli("summary", "--json", **model)
        assert {group["summary"]["by"] for group in read_json(result)} == {"m1"}
        assert "by model m1" in cli("show", bad, **model).stdout
        asked = str(server.asked)
        assert "NoAddressError" in asked
        for secret in ("hunter2", "sk-nobody", "r-1", "s3cr3t"):
            assert secret not in asked
        server.answer = sends(b"", 503)
        again = cli("summary", "--json", "--filter", "class=permanent", **model)
        assert {group["summary"]["by"] for group in read_json(again)} == {"m1"}, "remembered"
        told = cli("summary", **model | {"PENSTOCK_LLM_MODEL": "m2"})
        assert "from the words of the errors; the model's server answered 503" in told.stdout
        assert "sk-nobody" not in result.output + told.output
        asked_before = len(server.asked)
        cli("summary", "--plain", **model)
        assert len(server.asked) == asked_before


def check_edit(mine: Pipeline, cli: Cli, bad: str, up: str) -> None:
    """The edit is checked first, and passes the ledger like any other redrive."""
    assert "not JSON" in cli("redrive", bad, "--edit", "{bad", code=2).stderr
    patch = json.dumps({"bad": None, "to": "b"})
    tried = read_json(cli("redrive", bad, "--edit", patch, "--dry-run", "--json"))["edit"]
    assert (tried["fits"], tried["refused"]) == (1, 0)
    assert json.loads(tried["after"]) == {"up": up, "to": "b", "secret": "***"}
    cli("redrive", bad, "--edit", patch, "--yes")
    wait_for(mine, [bad], succeeded=1)
    with psycopg.connect(mine.database_url) as connection:
        row = connection.execute("SELECT result FROM v1_jobs WHERE job_id = %s", [bad]).fetchone()
    assert row == ({"to": "b"},)
    copies = [decode_dead(record) for record in mine.read(mine.routes.dead)]
    assert [copy.last.job.job_id for copy in copies if copy.edited] == [bad]


def test_a_redrive_stops_itself_and_what_is_settled_or_loops_is_left_out(
    mine: Pipeline, cli: Cli, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    jobs = submit(mine, 40, up=str(up))
    wait_for(mine, jobs, dead=40)
    (group,) = read_json(cli("summary", "--json"))
    args = ["--filter", f"signature={group['signature']}", "--rate", "off", "--yes", "--stop-after", "5"]

    # The cause is still there: a probe goes out, comes back, and the others stay.
    stopped = read_json(cli("redrive", *args, "--json", code=1))
    assert stopped["outcome"] == "stopped"
    assert 5 <= stopped["returned"] <= stopped["redriven"] <= 20
    assert stopped["without_letter"] == 40 - stopped["redriven"]
    wait_for(mine, jobs, dead=40)
    (group,) = read_json(cli("summary", "--json"))
    assert group["fixable"] == 0
    assert group["fixable_because"] == f"0 of {stopped['redriven']} redriven jobs succeeded later"

    one = jobs[0]
    check_loop_guard(mine, cli, one)
    assert "--dropped takes jobs named" in cli("redrive", *args, "--dropped", code=2).stderr
    check_drop(cli, one)
    check_export(cli, tmp_path / "dead.csv")
    check_pause(mine, cli, tmp_path, jobs)
    up.touch()
    cli("redrive", "--filter", "type=mail.send", "--again", "--yes", "--rate", "off")
    wait_for(mine, jobs, succeeded=39, dead=1)
    cli("redrive", one, "--again", "--dropped", "--yes")
    wait_for(mine, jobs, succeeded=40)
    wait_until(lambda: _newest_act(cli)["outcome"] == "done", "the last act", WAIT_S)
    acts = read_json(cli("acts", "--json"))[::-1]
    assert [act["outcome"] for act in acts if act["what"] == "redrive"] == [
        *("stopped", "done", "done", "done", "interrupted", "done", "done")
    ]
    assert [act["what"] for act in acts if act["what"] != "redrive"] == [
        *("drop", "export", "export", "pause", "resume")
    ]


def check_loop_guard(mine: Pipeline, cli: Cli, one: str) -> None:
    """One that was redriven too often is left out unless it is asked for."""
    for _ in range(3):
        n = _dispatch(mine, one)
        cli("redrive", one, "--yes", "--again")
        _wait_for_death_after(mine, one, n)
    assert read_json(cli("redrive", one, "--dry-run", "--json"))["redriven_too_often"] == 1
    assert read_json(cli("redrive", one, "--dry-run", "--json", "--again"))["found"] == 1


def check_drop(cli: Cli, one: str) -> None:
    """Settled: not in the summary, and redriven only by its id and on request."""
    assert "say why" in cli("drop", one, "--yes", code=2).stderr
    dropped = read_json(cli("drop", one, "--reason", "hopeless", "--yes", "--json"))
    assert dropped["dropped"] == 1
    wait_until(lambda: read_json(cli("summary", "--json"))[0]["count"] == 39, "one less", WAIT_S)
    assert read_json(cli("redrive", one, "--dry-run", "--json", "--again"))["dropped_before"] == 1


def check_export(cli: Cli, out: Path) -> None:
    """Exported without what is settled; a file that exists is left alone."""
    cli("export", "--filter", "type=mail.send", "--format", "csv", "--output", str(out))
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 39
    assert {row["error_type"] for row in rows} == {"PermanentError"}
    assert "cannot be written" in cli("export", "--output", str(out), code=2).stderr
    assert len(cli("export").stdout.splitlines()) == 39


def check_pause(mine: Pipeline, cli: Cli, directory: Path, jobs: list[str]) -> None:
    """Paused, a redrive waits; interrupted, it says how to go on."""
    cli("pause", "--reason", "a look")
    more = ["redrive", "--filter", "type=mail.send", "--again", "--yes", "--rate", "off"]
    environment = mine.environment("cli")
    with Program(directory / "redrive.log", "-m", "penstock", "dlq", *more, env=environment) as program:
        wait_until(lambda: "paused by cli:" in program.output, "the pause", WAIT_S)
        time.sleep(1)
        assert states(mine, jobs) == {"dead": 40}
        program.process.send_signal(signal.SIGINT)
        wait_until(lambda: program.process.poll() is not None, "the end", WAIT_S)
        assert "redrove 0; 39 are left" in program.output
    cli("resume")


def _wait_for_death_after(mine: Pipeline, job: str, n: int) -> None:
    wait_until(lambda: _dispatch(mine, job) > n and states(mine, [job]) == {"dead": 1}, "a death", WAIT_S)


def _newest_act(cli: Cli) -> Any:
    return read_json(cli("acts", "--json", "--limit", "1"))[0]


def _dispatch(mine: Pipeline, job: str) -> int:
    with psycopg.connect(mine.database_url) as connection:
        row = connection.execute("SELECT dispatch FROM v1_jobs WHERE job_id = %s", [job]).fetchone()
    assert row is not None
    return int(row[0])
