"""Jobs that will nearly certainly fail, on real servers: watched, diverted, held, drawn, and redriven."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from adapters.learned.heads import Heads
from adapters.learned.rows import Rows
from adapters.learned.training import Recipe, train
from adapters.postgres.migrate import upgrade
from core.learning.events import Status
from core.learning.features import COLUMN
from core.learning.preemption import draw_for
from core.ledger.notes import Queued
from core.ledger.verdicts import Claimed, Preempted
from penstock.cli.main import build
from penstock.cli.workflow_retry import redriven
from penstock.client import Job
from penstock.connection import DatabaseConnection
from schemas.codec import decode_if_note
from schemas.ledger import LedgerFolds
from schemas.models import FailingPoint
from tests.support.models_under_test import a_standing
from tests.support.pipeline import Pipeline, pipeline
from tests.support.servers import Servers
from tests.support.small_models import published
from tests.support.vectors import unknown_vectors

APP = """
import os
from penstock import PermanentError, task

@task("doomed")
def doomed(ctx, payload):
    with open(os.environ["RUNS"], "a") as runs:
        runs.write(f"{ctx.job_id}\\n")
    if not payload.get("fine"):
        raise PermanentError("no use")

@task("quick")
def quick(ctx, payload):
    pass

@task("shaky")
def shaky(ctx, payload):
    with open(os.environ["RUNS"], "a") as runs:
        runs.write(f"{ctx.job_id}\\n")
    if payload.get("fail"):
        raise PermanentError("for now")
"""
LOOKS_BAD = 1
"""Jobs of this priority the model expects to fail."""
POINT = 0.25
PATIENCE_S = 60
ANYWAY = 0.3


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> Iterator[Pipeline]:
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_that_fail.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as prepared:
        yield prepared


def heads() -> Heads:
    """Train what adds nothing to the running mean, and is sure that jobs of one priority fail."""
    dice = np.random.default_rng(1)
    jobs = 2000
    vectors = unknown_vectors(jobs)
    expected = dice.uniform(0, 12, jobs).astype(np.float32)
    vectors[:, COLUMN["expected_run"]] = expected
    vectors[:, COLUMN["expected_failed"]] = 0.01
    vectors[:, COLUMN["priority"]] = priority = dice.choice([LOOKS_BAD, 5, 9], jobs)
    decided = np.arange(jobs, dtype=np.int64) * 1000
    run = np.expm1(expected).astype(np.int64)
    status = np.where(priority == LOOKS_BAD, Status.FAILED, Status.OK).astype(np.int8)
    recipe = Recipe(limit_ms=10**7, run_rounds=(1, 1), failed_rounds=(300,) * 4)
    return train(Rows(vectors, decided, decided, decided + run, run, status), 10**10, recipe)


async def put_in_force(mine: Pipeline) -> str:
    async with mine.shelf() as shelf:
        manifest, data = published(heads())
        manifest = msgspec.structs.replace(manifest, failing=FailingPoint(POINT, 0.95, 0.9, 1.0, 600))
        await shelf.publish(manifest, data)
        await shelf.act(lambda _: a_standing(manifest.id))
        return manifest.id


class Run:
    """A pipeline under way, and what it did."""

    def __init__(self, mine: Pipeline, runs: Path) -> None:
        self.mine = mine
        self._runs = runs
        runs.touch()

    def submit(self, type_: str, count: int, priority: int = 5, **payload: bool) -> set[str]:
        async def send() -> set[str]:
            async with self.mine.client() as client:
                jobs = [Job(type=type_, payload=payload, priority=priority) for _ in range(count)]
                return {ref.job_id for ref in await client.submit_many(jobs)}

        return asyncio.run(send())

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.mine.database_url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def preemptions(self, jobs: set[str]) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT v.*, v.job_id::text AS job_id FROM v1_preemptions v WHERE v.job_id = ANY(%s::uuid[])",
            list(jobs),
        )

    def states(self, jobs: set[str]) -> Counter[str]:
        found = self.rows("SELECT state FROM v1_jobs WHERE job_id = ANY(%s::uuid[])", list(jobs))
        return Counter(row["state"] for row in found)

    def ended(self, jobs: set[str]) -> None:
        self.until(lambda: sum(self.states(jobs)[one] for one in ("succeeded", "dead")) == len(jobs))

    def runs(self, jobs: set[str]) -> Counter[str]:
        return Counter(job for job in self._runs.read_text().split() if job in jobs)

    @staticmethod
    def until(true: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline_s
            time.sleep(0.2)

    def until_trusted(self, model: str) -> None:
        def ordered_by(jobs: set[str]) -> set[str | None]:
            found = self.rows("SELECT model_version FROM v1_jobs WHERE job_id = ANY(%s::uuid[])", list(jobs))
            return {row["model_version"] for row in found}

        for _ in range(30):
            jobs = self.submit("quick", 100)
            self.ended(jobs)
            if ordered_by(jobs) == {model}:
                return
        raise AssertionError("the model is not trusted")


def test_what_will_fail_is_watched_then_diverted_and_nothing_is_lost_or_runs_twice(
    mine: Pipeline, tmp_path: Path
) -> None:
    run = Run(mine, tmp_path / "runs")
    app = {"PENSTOCK_APP": "tasks_that_fail", "PENSTOCK_APP_PATH": str(tmp_path / "app")}
    watch = {"PENSTOCK_PREEMPT": "watch", "PENSTOCK_PREEMPT_GOOD_JOB_S": "0"}
    on = {
        **watch,
        "PENSTOCK_PREEMPT": "on",
        "PENSTOCK_PREEMPT_BUDGET_SHARE": "1",
        "PENSTOCK_PREEMPT_ANYWAY_SHARE": str(ANYWAY),
    }
    holds = {"PENSTOCK_PREEMPT": "on", "PENSTOCK_PREEMPT_HOLD_S": "4", "PENSTOCK_PREEMPT_CHECK_S": "0.3"}
    with (
        mine.running("ingest", "features", "materializer"),
        mine.running("executor", RUNS=str(tmp_path / "runs"), **app),
        mine.running("dlq_handler", **holds),
    ):
        with mine.running("prioritizer", **watch):
            model = asyncio.run(put_in_force(mine))
            run.until_trusted(model)
            bad, fine = run.submit("doomed", 12, LOOKS_BAD), run.submit("doomed", 4, LOOKS_BAD, fine=True)
            shaky = run.submit("shaky", 40) | run.submit("shaky", 15, fail=True)
            run.ended(bad | fine | shaky)
            _check_watched(run, bad, fine, model)
            _check_evidence(run, failed=12, good=4)
        with mine.running("prioritizer", **on):
            run.until_trusted(model)
            bad, held = run.submit("doomed", 30, LOOKS_BAD), run.submit("shaky", 6, LOOKS_BAD)
            run.ended(bad | held)
            _check_diverted(run, bad)
            _check_held(run, held)
            _check_redrive(run, {row["job_id"] for row in run.preemptions(bad) if row["arm"] == "dead"})
    _check_law(mine)


def _check_watched(run: Run, bad: set[str], fine: set[str], model: str) -> None:
    run.until(lambda: len(run.preemptions(bad | fine)) == 16)
    for row in run.preemptions(bad | fine):
        assert (row["way"], row["arm"], row["n"], row["ran_as"], row["model"]) == (
            "watched",
            None,
            1,
            1,
            model,
        )
        assert row["p_fail"] >= row["point"] == POINT
        assert row["false_alarm"] is (row["job_id"] in fine)
        assert row["outcome"] == ("succeeded" if row["job_id"] in fine else "failed")
    notes = [decode_if_note(record) for record in run.mine.read(run.mine.routes.ledger)]
    ways = {note.job_id: note.scored.way for note in notes if isinstance(note, Queued) and note.scored}
    assert {ways[job] for job in bad | fine} == {"watched"}
    assert {way for job, way in ways.items() if job not in bad | fine} == {""}


def _check_evidence(run: Run, *, failed: int, good: int) -> None:
    environment = {**os.environ, **run.mine.environment("cli")}
    result = CliRunner(env=environment).invoke(build("models"), ["models", "preempt", "--json"])
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert (found["failed"], found["succeeded"], found["is_enough"]) == (failed, good, False)
    assert found["precision"] == failed / (failed + good)
    assert "200 are needed" in found["words"]


def _check_diverted(run: Run, bad: set[str]) -> None:
    run.until(lambda: len(run.preemptions(bad)) == 30)
    rows = run.preemptions(bad)
    origins = run.rows(
        "SELECT job_id::text, origin_epoch, origin_partition, origin_offset FROM v1_jobs "
        "WHERE job_id = ANY(%s::uuid[])",
        list(bad),
    )
    drawn = {
        row["job_id"]
        for row in origins
        if draw_for(":".join(str(row[f"origin_{part}"]) for part in ("epoch", "partition", "offset")), 1)
        < ANYWAY
    }
    assert {row["job_id"] for row in rows if row["way"] == "sampled"} == drawn
    dead = {row["job_id"] for row in rows if row["way"] == "diverted"}
    assert dead == bad - drawn
    assert dead
    assert {row["arm"] for row in rows if row["job_id"] in dead} == {"dead"}
    assert {row["false_alarm"] for row in rows if row["job_id"] in dead} == {None}
    assert run.runs(bad) == Counter(drawn), "what is dead never ran, what was drawn ran once"
    for row in run.rows("SELECT * FROM v1_jobs WHERE job_id = ANY(%s::uuid[])", list(dead)):
        assert row["error_class"] == "predicted"
        assert "expects it to fail with a probability of" in row["last_decision"]


def _check_held(run: Run, held: set[str]) -> None:
    run.until(lambda: len(run.preemptions(held)) == 6)
    rows = run.preemptions(held)
    diverted = [row for row in rows if row["way"] == "diverted"]
    assert diverted
    for row in diverted:
        assert (row["arm"], row["ran_as"], row["outcome"], row["false_alarm"]) == (
            "hold",
            2,
            "succeeded",
            None,
        )
    assert run.runs(held) == Counter(held)
    assert run.states(held) == {"succeeded": 6}


def _check_redrive(run: Run, dead: set[str]) -> None:
    chosen = min(dead)
    routes = run.mine.routes
    letters = [one for one in run.mine.read(routes.dead) if chosen.encode() in (one.value or b"")]
    assert len(letters) == 1
    run.mine.append(list(redriven(routes, letters, run.mine.epoch.epoch, "ann").values()))
    run.until(lambda: run.runs(dead) == {chosen: 1})
    run.until(lambda: [row["false_alarm"] for row in run.preemptions({chosen})] == [False])


def _check_law(mine: Pipeline) -> None:
    """No dispatch that was diverted was claimed as well."""
    folds = LedgerFolds(mine.epoch.epoch, with_notes=False)
    claimed, diverted = set(), set()
    for event in folds.take(mine.read(mine.routes.ledger)):
        if event.outcome is None or not event.outcome.holds:
            continue
        match event.event:
            case Claimed() as claim:
                claimed.add((claim.origin, claim.n))
            case Preempted() as verdict:
                diverted.add((verdict.origin, verdict.n))
            case _:
                pass
    assert diverted
    assert not claimed & diverted
    assert not any(folds.fold(partition).open for partition in range(mine.routes.partitions))
