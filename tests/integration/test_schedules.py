"""Recurring schedules on a real broker: each tick is one job, through crashes and edits."""

import asyncio
import json
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from psycopg.rows import dict_row
from typer.testing import CliRunner, Result

from adapters.postgres.migrate import upgrade
from core.ledger.verdicts import Skipped
from penstock.cli.connect import connections
from penstock.cli.main import build
from penstock.cli.schedule_topic import require, write
from penstock.connection import DatabaseConnection
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, decode_event
from schemas.schedule_edits import with_pause
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

KILLS = 6
BETWEEN_KILLS_S = 3.0
SESSION_S = "6"
"""So that a scheduler that is dead is replaced well within the test."""

Cli = Callable[..., Result]


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path) as prepared:
        # A .penstock of the checkout must not fill what the environment leaves out.
        monkeypatch.chdir(tmp_path)
        yield prepared


@pytest.fixture
def cli(mine: Pipeline) -> Cli:
    environment = mine.environment("cli")

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(build("schedule"), ["schedule", *arguments], env=environment)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result

    return run


def read_json(result: Result) -> Any:
    return json.loads(result.stdout)


def ready(mine: Pipeline, name: str) -> list[AcceptedJob]:
    """Give the jobs of one schedule that may run, a repeated hand-over counted once."""
    jobs = [decode_accepted(record) for record in mine.read(mine.routes.ready)]
    return list({job.origin: job for job in jobs if job.labels.get("schedule") == name}.values())


def ticks(jobs: list[AcceptedJob]) -> list[int]:
    """Give the seconds of their ticks, in order."""
    return sorted(int(datetime.fromisoformat(job.labels["tick"]).timestamp()) for job in jobs)


def shown(cli: Cli, name: str) -> dict[str, Any]:
    members: dict[str, Any] = read_json(cli("show", name, "--json"))
    return members


def until_fired(cli: Cli, name: str, count: int) -> None:
    wait_until(lambda: shown(cli, name)["fired"] >= count, f"{count} ticks of {name}", 60)


def test_each_tick_is_one_job_while_schedulers_are_killed(mine: Pipeline, cli: Cli) -> None:
    cli("create", "beat", "t", "--every", "1s", "--catch-up", "all")
    cli("create", "wall", "t", "--cron", "* * * * * *", "--zone", "Europe/Berlin", "--catch-up", "all")
    running: dict[int, Program] = {}
    with ExitStack() as stack, mine.running("ingest"):

        def start(number: int) -> None:
            program = mine.start("scheduler", f"scheduler-{number}", PENSTOCK_SESSION_TIMEOUT_S=SESSION_S)
            running[number] = stack.enter_context(program)

        start(0)
        start(1)
        until_fired(cli, "beat", 3)
        for number in range(KILLS):
            time.sleep(BETWEEN_KILLS_S)
            running[number % 2].process.kill()
            running[number % 2].process.wait()
            start(number % 2)
        last = int(time.time())
        for name in ("beat", "wall"):
            wait_until(
                lambda name=name: (ticks(ready(mine, name)) or [0])[-1] > last,  # type: ignore[misc]
                f"ticks of {name} after the last kill",
                90,
            )
    for name in ("beat", "wall"):
        jobs = ready(mine, name)
        assert max(Counter(job.job_id for job in jobs).values()) == 1, "a tick ran twice"
        seconds = ticks(jobs)
        assert seconds == list(range(seconds[0], seconds[-1] + 1)), "a tick is missing"
        assert seconds[-1] - seconds[0] > KILLS * BETWEEN_KILLS_S


@pytest.mark.parametrize("point", ["ticks_due", "ticks_appended", "ticks_settled"])
def test_each_tick_is_one_job_when_a_scheduler_dies_between_its_effects(
    mine: Pipeline, cli: Cli, point: str
) -> None:
    cli("create", "beat", "t", "--every", "1s", "--catch-up", "all")
    with mine.running("ingest"):
        dies = {
            "PENSTOCK_FAILPOINTS": f"scheduler.{point}:kill:after=2",
            "PENSTOCK_SESSION_TIMEOUT_S": SESSION_S,
        }
        with mine.start("scheduler", **dies) as program:
            wait_until(lambda: program.process.poll() is not None, f"death at {point}", 60)
            assert program.process.returncode == -signal.SIGKILL, program.output
        with mine.running("scheduler", PENSTOCK_SESSION_TIMEOUT_S=SESSION_S):
            died = int(time.time())
            wait_until(lambda: ticks(ready(mine, "beat"))[-1] > died, "ticks after the death", 60)
    jobs = ready(mine, "beat")
    assert len({job.job_id for job in jobs}) == len(jobs)
    seconds = ticks(jobs)
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    sent = Counter(json.loads(record.value or b"")["job_id"] for record in mine.read(mine.routes.jobs))
    assert (max(sent.values()) > 1) is (point == "ticks_appended")


def test_pause_edit_resume_and_delete_take_effect_at_their_place_in_the_log(mine: Pipeline, cli: Cli) -> None:
    with mine.running("ingest", "scheduler"):
        cli("create", "beat", "t", "--every", "1s", "--catch-up", "skip", "--payload", "1")
        until_fired(cli, "beat", 2)
        cli("pause", "beat")
        paused_ms = at_ms(shown(cli, "beat")["changed"])
        assert shown(cli, "beat")["next"] == []
        time.sleep(3.5)
        cli("resume", "beat")
        resumed_ms = at_ms(shown(cli, "beat")["changed"])
        until_fired(cli, "beat", shown(cli, "beat")["fired"] + 2)
        cli("create", "beat", "t", "--every", "1s", "--catch-up", "skip", "--payload", "2", "--replace")
        edited_ms = at_ms(shown(cli, "beat")["changed"])
        until_fired(cli, "beat", shown(cli, "beat")["fired"] + 2)
        cli("delete", "beat")
        time.sleep(2.5)
        jobs = ready(mine, "beat")
        cli("create", "beat", "t", "--every", "1s", "--payload", "3")
        until_fired(cli, "beat", 2)
        wait_until(lambda: len(ready(mine, "beat")) >= len(jobs) + 2, "jobs of the one created again", 30)
    assert not [tick for tick in ticks(jobs) if paused_ms < tick * 1000 <= resumed_ms]
    assert {bytes(job.payload) for job in jobs if ticks([job])[0] * 1000 <= edited_ms} == {b"1"}
    assert {bytes(job.payload) for job in jobs if ticks([job])[0] * 1000 > edited_ms} == {b"2"}
    active = list(range(ticks(jobs)[0], ticks(jobs)[-1] + 1))
    assert ticks(jobs) == [tick for tick in active if not paused_ms < tick * 1000 <= resumed_ms]
    again = [job for job in ready(mine, "beat") if bytes(job.payload) == b"3"]
    assert not {job.job_id for job in again} & {job.job_id for job in jobs}


def at_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_a_backfill_and_a_run_now_are_jobs_once_each(mine: Pipeline, cli: Cli) -> None:
    with mine.running("ingest", "scheduler"):
        cli("create", "old", "t", "--cron", "0 * * * *", "--paused")
        found = read_json(cli("backfill", "old", "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z", "--json"))
        assert [one["tick"] for one in found][:2] == ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"]
        again = read_json(cli("backfill", "old", "2026-01-01T03:00:00Z", "2026-01-01T06:00:00Z", "--json"))
        assert [one["job_id"] for one in again][:3] == [one["job_id"] for one in found][3:]
        run = read_json(cli("run-now", "old", "--json"))
        wanted = {one["job_id"] for one in [*found, *again, run]}
        wait_until(lambda: {job.job_id for job in ready(mine, "old")} == wanted, "all jobs", 60)
        jobs = ready(mine, "old")
    assert len(wanted) == 8
    assert len(jobs) == 8
    assert not mine.read(mine.routes.rejected)


def test_once_fires_once_and_jitter_starts_it_later_by_the_same(mine: Pipeline, cli: Cli) -> None:
    with mine.running("ingest", "scheduler"):
        cli("create", "once", "t", "--at", "+3s")
        cli("create", "spread", "t", "--every", "1s", "--jitter", "2s")
        wait_until(lambda: len(ready(mine, "once")) == 1, "the one job", 60)
        wait_until(lambda: len(ready(mine, "spread")) >= 5, "jobs of spread", 60)
        assert shown(cli, "once")["state"] == "ended"
        listed = {one["name"]: one["state"] for one in read_json(cli("list", "--json"))}
    assert listed == {"once": "ended", "spread": "active"}
    offsets: defaultdict[str, set[int]] = defaultdict(set)
    for job in ready(mine, "spread"):
        if job.run_at_ms is not None:
            offsets[job.job_id].add(job.run_at_ms - ticks([job])[0] * 1000)
    assert all(min(one) > 0 and max(one) < 2000 and len(one) == 1 for one in offsets.values())
    assert len(ready(mine, "once")) == 1


def test_ticks_that_must_not_overlap_wait_for_the_one_before_or_are_skipped(mine: Pipeline, cli: Cli) -> None:
    # Nothing runs jobs here, so the first of each never ends.
    with mine.running("ingest", "scheduler"):
        for overlap in ("skip", "queue", "allow"):
            cli("create", overlap, "t", "--every", "1s", "--overlap", overlap)
        for overlap in ("skip", "queue", "allow"):
            until_fired(cli, overlap, 4)
        wait_until(lambda: len(ready(mine, "allow")) >= 4, "jobs beside each other", 60)

        def skipped() -> set[str]:
            events = [decode_event(record) for record in mine.read(mine.routes.ledger)]
            return {event.job_id for event in events if isinstance(event, Skipped)}

        wait_until(lambda: len(skipped()) >= 3, "skipped ticks", 60)
    assert len(ready(mine, "skip")) == 1
    assert len(ready(mine, "queue")) == 1
    assert not skipped() & {job.job_id for name in ("queue", "allow") for job in ready(mine, name)}
    assert not mine.read(mine.routes.rejected)


def rows(url: str) -> dict[str, dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return {row["name"]: row for row in connection.execute("SELECT * FROM v1_schedules")}


@pytest.mark.parametrize("point", ["open", "moved", "merged", "committed"])
def test_the_table_shows_every_schedule_also_when_its_writer_dies(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, point: str
) -> None:
    upgrade(DatabaseConnection.model_validate({"url": database_url}))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        environment = mine.environment("cli")

        def run(*arguments: str) -> None:
            result = CliRunner().invoke(build("schedule"), ["schedule", *arguments], env=environment)
            assert result.exit_code == 0, (result.output, result.stderr, result.exception)

        secret = ("--payload", '{"key":"hidden","n":1}', "--sensitive", "/key", "--tenant", "acme")
        run("create", "beat", "t.beat", "--every", "1s", *secret)
        run("create", "gone", "t", "--cron", "0 9 * * *", "--zone", "Asia/Tokyo")
        run("create", "still", "t", "--every", "5m", "--paused")
        run("delete", "gone")
        dies = {"PENSTOCK_FAILPOINTS": f"materializer.schedules_{point}:kill:after=1"}
        with mine.running("scheduler"), mine.start("materializer", **dies) as program:
            wait_until(lambda: program.process.poll() is not None, "the writer's death", 60)
            assert program.process.returncode == -signal.SIGKILL, program.output
            with mine.running("materializer"):
                wait_until(
                    lambda: rows(database_url).get("beat", {}).get("fired", 0) > 3, "ticks in the table"
                )
                wait_until(lambda: len(rows(database_url)) == 3, "three rows")
        found = rows(database_url)
    assert {name: row["state"] for name, row in found.items()} == {
        "beat": "active",
        "gone": "deleted",
        "still": "paused",
    }
    beat = found["beat"]
    assert beat["definition"]["job"]["payload"] == {"key": "***", "n": 1}
    assert (beat["ticks"], beat["tenant"], beat["type"], beat["version"]) == ("every 1s", "acme", "t.beat", 1)
    assert beat["last_tick"] <= beat["settled_until"] < beat["next_tick"]
    assert (found["gone"]["ticks"], found["gone"]["zone"]) == ("0 9 * * *", "Asia/Tokyo")
    assert found["still"]["next_tick"] is None


def test_of_two_edits_at_once_the_later_holds_and_its_author_is_told(
    mine: Pipeline, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    where = connections(None, mine.environment("cli"))
    cli("create", "beat", "t", "--every", "5m")
    seen = asyncio.run(require(where, "beat"))
    cli("create", "beat", "t", "--every", "7m", "--replace")
    with pytest.raises(typer.Exit):
        asyncio.run(write(where, with_pause(seen, paused=True, by="me")))
    told = capsys.readouterr().err.replace("\n", " ")
    assert "at the same time" in told
    assert "version 2" in told
    assert shown(cli, "beat")["state"] == "paused"
    assert shown(cli, "beat")["ticks"] == "every 5m"
    # Alone, nothing is to be told.
    cli("resume", "beat")
    assert shown(cli, "beat")["version"] == 3


def test_what_is_typed_wrongly_names_option_value_and_remedy(cli: Cli) -> None:
    for arguments, named in (
        (("create", "a", "t"), "--cron, --every and --at"),
        (("create", "A b", "t", "--every", "5m"), "lower-case"),
        (("create", "a", "t", "--cron", "61 * * * *"), "Bad minute"),
        (("create", "a", "t", "--cron", "* * * * *", "--zone", "Berlin"), "Europe/Berlin"),
        (("create", "a", "t", "--every", "0.5s"), "1s"),
        (("create", "a", "t", "--every", "5m", "--zone", "UTC"), "--zone belongs to --cron"),
        (("create", "a", "t", "--at", "2020-01-01T00:00:00Z"), "has passed"),
        (("create", "a", "Bad Type", "--every", "5m"), "field `type`"),
        (("create", "a", "t", "--every", "5m", "--priority", "11"), "field `priority`"),
        (("create", "a", "t", "--every", "5m", "--label", "tick=1"), "sets this label itself"),
        (("create", "a", "t", "--every", "5m", "--pool", "gpu"), "no such pool"),
        (("create", "a", "t", "--every", "5m", "--catch-up-window", "10s"), "at least 60s"),
    ):
        assert named in cli(*arguments, code=2).stderr.replace("\n", " ").replace("│ ", ""), arguments
    assert "no schedule 'a'" in cli("show", "a", code=1).stderr
    created = read_json(cli("create", "a", "t", "--cron", "0 9 * * 1-5", "--zone", "Asia/Tokyo", "--json"))
    assert all(datetime.fromisoformat(tick) > datetime.now(UTC) for tick in created["next"])
    assert "--replace" in cli("create", "a", "t", "--every", "5m", code=1).stderr
    assert "not paused" in cli("resume", "a", code=1).stderr
    assert "T09:00:00+09:00" in cli("show", "a").stdout
    assert "narrow it" in cli("backfill", "a", "0002-01-01T00:00:00Z", "2026-01-01T00:00:00Z", code=1).stderr
