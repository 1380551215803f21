"""Ordered jobs through all services: one at a time, in their order, whatever happens to the scheduler."""

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from adapters.kafka.reader import reading
from adapters.postgres.migrate import upgrade
from core.log import TopicPartition
from core.services import JOB_SERVICES
from penstock.client import Client, SubmittedRef
from penstock.client.submission import Job
from penstock.connection import DatabaseConnection
from ports.failpoints import Failpoint
from schemas.codec import decode_accepted
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

APP = """
import json, os, time
from penstock import PermanentError, RetryRule, task

def say(ctx, payload, what):
    line = {"key": payload["key"], "number": payload["number"], "attempt": ctx.attempt, "what": what}
    with open(os.environ["ORDER_JOURNAL"], "a") as journal:
        journal.write(json.dumps(line) + "\\n")

@task("ordered", retry=RetryRule(base="0.2s", cap="0.2s"))
def ordered(ctx, payload):
    say(ctx, payload, "start")
    time.sleep(payload.get("s", 0.02))
    say(ctx, payload, "end")
    if payload.get("fails") == "once" and ctx.attempt == 1:
        raise ConnectionError("once")
    if payload.get("fails") == "always":
        raise PermanentError("no use")
"""
TERMINAL_WAIT_S = 240.0
KILL_WAIT_S = 90.0
NEXT_WAVE_S = 12.0
KEYS = ("a", "b", "c")
SNAPSHOTS = {
    "PENSTOCK_GATES_SNAPSHOT_EVERY": "1",
    "PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S": "0.3",
    "PENSTOCK_GATES_TOLD_EVERY_S": "0.5",
}


class Line(NamedTuple):
    """What a task wrote into the journal."""

    key: str
    number: int
    attempt: int
    what: str


class Ordered:
    """A pipeline of all services but the scheduler, and the journal of what ran."""

    def __init__(self, mine: Pipeline, journal: Path) -> None:
        self.mine = mine
        self.path = journal
        self._entered: dict[tuple[int, int], tuple[str, int]] = {}

    def journal(self) -> list[Line]:
        """Give the lines written so far, in order."""
        text = self.path.read_text() if self.path.exists() else ""
        return [Line(**json.loads(line)) for line in text.splitlines()]

    @contextmanager
    def scheduler(self, run: int = 0, **settings: str) -> Iterator[Program]:
        """Run a scheduler, always under one name."""
        environment = self.mine.environment("scheduler", **(SNAPSHOTS | settings))
        path = self.mine.directory / f"scheduler-{run}.log"
        with Program(path, "-m", "services.scheduler", env=environment) as program:
            yield program

    def look(self) -> None:
        """Note who has entered, before the janitor trims it."""
        for record in self.mine.read(self.mine.routes.orders):
            if record.header("kind") == b"ENTERED":
                payload = json.loads(bytes(decode_accepted(record).payload))
                self._entered[record.partition, record.offset] = (payload["key"], payload["number"])

    def entered(self) -> list[tuple[str, int]]:
        """Give (key, number) of each job that was seen, in the order of entering its gate."""
        return list(dict.fromkeys(self._entered[place] for place in sorted(self._entered)))

    def check(self, left_out: set[int]) -> None:
        """Check that all but these ran, one at a time and in the order of entering."""
        self.look()
        lines = self.journal()
        for key in {line.key for line in lines}:
            said = [(line.number, line.attempt, line.what) for line in lines if line.key == key]
            assert [what for *_, what in said] == ["start", "end"] * (len(said) // 2), key
            assert said[::2] == [(number, attempt, "start") for number, attempt, _ in said[1::2]], key
            ran = list(dict.fromkeys(number for number, *_ in said))
            line = [number for own, number in self.entered() if own == key]
            assert [number for number in ran if number in line] == [one for one in line if one in ran], key
            assert len(set(said)) == len(said), "an attempt ran twice"
        assert {number for _, number in self.entered()} - {line.number for line in lines} <= left_out


@pytest.fixture
def ordered(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Ordered]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app, journal = tmp_path / "app", tmp_path / "journal"
    app.mkdir()
    (app / "tasks_in_order.py").write_text(APP)
    settings = {
        "PENSTOCK_APP": "tasks_in_order",
        "PENSTOCK_APP_PATH": str(app),
        "PENSTOCK_WORKERS": "1",
        "ORDER_JOURNAL": str(journal),
        "PENSTOCK_JANITOR_S": "1",
        "PENSTOCK_JANITOR_STEP_RECORDS": "1",
        "PENSTOCK_LEDGER_KEEP_S": "0",
        "PENSTOCK_SNAPSHOT_EVERY": "20",
        "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "0.5",
    }
    others = [name for name in JOB_SERVICES if name != "scheduler"]
    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine,
        mine.running(*others, **settings),
    ):
        yield Ordered(mine, journal)


def job(key: str, number: int, payload: dict[str, Any] | None = None) -> Job:
    said = {"key": key, "number": number, **(payload or {})}
    return {"type": "ordered", "payload": said, "ordering_key": key}


async def wait_all(client: Client, refs: list[SubmittedRef]) -> dict[str, str]:
    return {ref.job_id: (await client.wait(ref, timeout_s=TERMINAL_WAIT_S)).state for ref in refs}


def wave(first: int) -> list[Job]:
    """Jobs of every kind: plain, failing once, named, dying, due later."""
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    named, due = job("b", first + 2), job("c", first + 4)
    named["idempotency_key"], due["run_at"] = f"i{first}", soon
    return [
        job("a", first),
        job("a", first + 1, payload={"fails": "once"}),
        named,
        job("b", first + 3, payload={"fails": "always"}),
        due,
        job("c", first + 5),
    ]


POINTS = [
    Failpoint.CONNECTED,
    Failpoint.ANNOUNCED,
    Failpoint.JOINED,
    Failpoint.BATCH_ACKNOWLEDGED,
    Failpoint.POLLED,
    Failpoint.WORKED,
    Failpoint.COMMITTED,
    Failpoint.OPENING,
    Failpoint.OPENED,
    Failpoint.ADMITTED,
    Failpoint.DUE,
    Failpoint.ADMITTED_APPENDED,
    Failpoint.RELEASED_APPENDED,
    Failpoint.PASSAGES_DUE,
    Failpoint.PASSAGES_APPENDED,
    Failpoint.IMAGE_TAKEN,
    Failpoint.CHUNK_APPENDED,
    Failpoint.MANIFEST_APPENDED,
    Failpoint.SNAPSHOT_READ_BACK,
    Failpoint.TOMBSTONES_APPENDED,
]
"""Those of the scheduler that a pipeline of ordered jobs comes by."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("points", [POINTS[::2], POINTS[1::2]], ids=["even", "odd"])
def test_ordered_jobs_run_one_at_a_time_while_the_scheduler_dies_at_every_step(
    ordered: Ordered, points: list[Failpoint]
) -> None:
    refs: list[SubmittedRef] = []
    cancelled: set[int] = set()

    async def submit(first: int) -> None:
        async with ordered.mine.client() as client:
            found = await client.submit_many([*wave(first), job("a", first + 6)])
            refs.extend(found)
            await client.cancel(found[-1])
            cancelled.add(first + 6)

    firsts = itertools.count(step=10)

    def dies(program: Program) -> bool:
        """Wait for its death; a point may need more records than one wave brings."""
        asyncio.run(submit(next(firsts)))
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.wait(NEXT_WAVE_S)
        return program.process.poll() is not None

    for round_, point in enumerate(points):
        with ordered.scheduler(round_, PENSTOCK_FAILPOINTS=f"scheduler.{point}:kill") as program:
            wait_until(lambda: dies(program), f"death at {point}", KILL_WAIT_S)
            ordered.look()
            assert program.process.returncode == -signal.SIGKILL, f"{point}:\n{program.output[-2000:]}"

    async def finish() -> dict[str, str]:
        async with ordered.mine.client() as client:
            return await wait_all(client, refs)

    with ordered.scheduler(len(points)):
        states = asyncio.run(finish())
    assert set(states.values()) <= {"succeeded", "dead", "cancelled"}
    ordered.check(left_out=cancelled)


def test_a_restart_goes_on_from_a_snapshot_when_the_logs_before_it_are_trimmed(ordered: Ordered) -> None:
    routes = ordered.mine.routes

    def starts() -> dict[str, int]:
        return {
            topic: sum(offset for place, offset in asyncio.run(_starts(ordered, topic)).items())
            for topic in (routes.orders, routes.ledger)
        }

    async def submit(first: int, count: int) -> list[SubmittedRef]:
        async with ordered.mine.client() as client:
            jobs = [job(KEYS[number % 3], number) for number in range(first, first + count)]
            return await client.submit_many(jobs)

    async def wait(refs: list[SubmittedRef]) -> set[str]:
        async with ordered.mine.client() as client:
            return set((await wait_all(client, refs)).values())

    refs = asyncio.run(submit(0, 30))
    with ordered.scheduler():
        assert asyncio.run(wait(refs)) == {"succeeded"}
        more = asyncio.run(submit(30, 30))
        ordered.look()
        wait_until(lambda: all(starts().values()), "both logs are trimmed", 90)
        more += asyncio.run(submit(60, 30))
    with ordered.scheduler(1) as restarted:
        wait_until(lambda: "restored the gates of partition" in restarted.output, "it is restored", 60)
        assert asyncio.run(wait(more)) == {"succeeded"}
    ordered.check(left_out=set())


async def _starts(ordered: Ordered, topic: str) -> dict[TopicPartition, int]:
    async with reading(ordered.mine.kafka, client_id="test-reader") as reader:
        partitions = [TopicPartition(topic, number) for number in range(ordered.mine.routes.partitions)]
        return await reader.start_offsets(partitions)


def test_a_dead_job_blocks_its_key_until_a_person_releases_it(ordered: Ordered) -> None:
    stack = ExitStack()

    async def submit() -> list[SubmittedRef]:
        async with ordered.mine.client() as client:
            jobs = [job("a", 0, payload={"fails": "always"}), job("a", 1), job("b", 2)]
            return await client.submit_many(jobs)

    async def wait(refs: list[SubmittedRef]) -> list[str]:
        async with ordered.mine.client() as client:
            return list((await wait_all(client, refs)).values())

    def cli(*arguments: str) -> str:
        path = ordered.mine.directory / "cli.out"
        with Program(path, "-m", "penstock", *arguments, env=ordered.mine.environment("cli")) as program:
            assert program.process.wait(60) == 0, program.output
            return program.output

    with stack:
        stack.enter_context(ordered.scheduler(PENSTOCK_ORDER_ON_DEAD="block"))
        refs = asyncio.run(submit())
        assert asyncio.run(wait([refs[0], refs[2]])) == ["dead", "succeeded"]
        wait_until(lambda: json.loads(cli("order", "list", "--blocked", "--json")), "it is blocked", 60)
        (found,) = json.loads(cli("order", "list", "--json"))
        assert found | {"dispatch": 1} == {
            "tenant": "default",
            "key": "a",
            "blocked": True,
            "job_id": refs[0].job_id,
            "dispatch": 1,
            "waiting": 1,
        }
        shown = json.loads(cli("order", "show", "a", "--json"))
        assert shown["queue"] == [{"job_id": refs[1].job_id, "dispatch": 1}]
        assert refs[1].job_id in cli("order", "show", "a")
        assert "stays dead" in cli("order", "release", "a")
        assert asyncio.run(wait([refs[1]])) == ["succeeded"]
    assert [line.number for line in ordered.journal() if line.what == "start"].index(1) > 0
