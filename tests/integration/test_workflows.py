"""Workflows through all services: dependencies, results, added jobs, a scheduler that is killed."""

import asyncio
import json
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from typer.testing import CliRunner

from adapters.postgres.migrate import upgrade
from core.services import JOB_SERVICES
from penstock.cli.connect import Connections
from penstock.cli.main import build
from penstock.cli.workflow_retry import retry_dead
from penstock.client import Client, JobRow, Workflow
from penstock.client.submission import Job
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from penstock.identity import job_id_of_spawned
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import Program, wait_until
from tests.support.servers import Servers

APP = """
import json, os
from penstock import PermanentError, task

def say(ctx, what):
    with open(os.environ["WORKFLOW_JOURNAL"], "a") as journal:
        journal.write(json.dumps({"job_id": ctx.job_id, "dispatch": ctx.dispatch, "what": what}) + "\\n")

@task("step")
def step(ctx, payload):
    say(ctx, "start")
    say(ctx, "end")
    return payload

@task("add")
def add(ctx, payload):
    return payload.get("own", 0) + sum(ctx.parents.values())

@task("named")
def named(ctx, payload):
    return [ctx.workflow_id, ctx.parents[payload["parent"]]]

@task("split")
def split(ctx, payload):
    for number in range(payload["parts"]):
        ctx.spawn("add", {"own": number}, name=f"part-{number}", group="parts")
    ctx.spawn("add", name="merge", depends_on={"group": "parts", "count": payload["parts"]})
    return payload["parts"]

@task("spawn.nonsense")
def spawn_nonsense(ctx, payload):
    ctx.spawn("add", priority=99)

@task("fail.until")
def fail_until(ctx, payload):
    if not os.path.exists(payload["file"]):
        raise PermanentError("not yet")
    return 1
"""
WAIT_S = 120.0
SETTINGS = {
    "PENSTOCK_WORKERS": "1",
    "PENSTOCK_WORKFLOW_UNKNOWN_WAIT_S": "3",
    "PENSTOCK_GATES_SNAPSHOT_EVERY": "50",
    "PENSTOCK_GATES_SNAPSHOT_NOT_BEFORE_S": "0.5",
}


class Flows:
    """A pipeline, and the journal of what ran."""

    def __init__(self, mine: Pipeline, journal: Path, settings: dict[str, str]) -> None:
        self.mine = mine
        self.path = journal
        self.settings = settings

    @property
    def where(self) -> Connections:
        routes = self.mine.routes
        return Connections(
            KafkaConnection(bootstrap=self.mine.servers.kafka_bootstrap),
            DatabaseConnection(url=SecretStr(self.mine.database_url)),
            PipelineNames(topic_prefix=routes.prefix, partitions=routes.partitions),
        )

    def client(self) -> Client:
        return self.where.client()

    def workflow_row(self, workflow_id: str) -> dict[str, Any]:
        with psycopg.connect(self.mine.database_url, row_factory=dict_row) as connection:
            query = "SELECT * FROM v1_workflows WHERE workflow_id = %s"
            return connection.execute(query, [workflow_id]).fetchone() or {}

    def wait_for(self, workflow_id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def is_so() -> bool:
            found[:] = [self.workflow_row(workflow_id)]
            return bool(found[0]) and wanted(found[0])

        wait_until(is_so, f"workflow {workflow_id} as wanted", WAIT_S)
        return found[0]

    def journal(self) -> list[dict[str, Any]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


class Prepared(NamedTuple):
    mine: Pipeline
    journal: Path
    settings: dict[str, str]


@pytest.fixture
def prepared(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Prepared]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app, journal = tmp_path / "app", tmp_path / "journal"
    app.mkdir()
    (app / "tasks_of_flow.py").write_text(APP)
    settings = SETTINGS | {
        "PENSTOCK_APP": "tasks_of_flow",
        "PENSTOCK_APP_PATH": str(app),
        "WORKFLOW_JOURNAL": str(journal),
    }
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        yield Prepared(mine, journal, settings)


@pytest.fixture
def flows(prepared: Prepared) -> Iterator[Flows]:
    with prepared.mine.running(*JOB_SERVICES, **prepared.settings):
        yield Flows(*prepared)


def by_id(rows: list[JobRow]) -> dict[str, JobRow]:
    return {row.job_id: row for row in rows}


async def test_children_run_after_their_parents_and_read_what_these_returned(flows: Flows) -> None:
    flow = Workflow("sums")
    one, two = flow.add("add", {"own": 1}, name="one"), flow.add("add", {"own": 2}, name="two")
    both = flow.add("add", name="both").after(one, two)
    named = flow.add("named", {"parent": "both"}).after(both)
    for number in range(30):
        flow.add("add", {"own": 1}, name=f"part-{number}", group="parts").after(one)
    merge = flow.add("add", name="merge").after_group("parts")
    async with flows.client() as client:
        # Children first: their parents are waited for.
        refs = await client.submit_many(reversed(flow.jobs()))
        await client.submit_workflow(flow)
        rows = by_id(await client.wait_all(refs, WAIT_S))
    assert {row.state for row in rows.values()} == {"succeeded"}
    assert rows[both.job_id].result == 3
    assert rows[named.job_id].result == ["sums", 3]
    assert rows[merge.job_id].result == 60
    assert all(row.started_at is not None for row in rows.values())
    row = flows.wait_for("sums", lambda found: bool(found["state"] == "succeeded"))
    assert (row["jobs"], row["succeeded"], row["progress"]) == (35, 35, 1.0)
    assert row["finished_at"] >= row["started_at"] >= row["submitted_at"]
    assert row["critical_path_s"] >= 0


async def test_a_running_job_adds_others_to_its_workflow(flows: Flows) -> None:
    flow = Workflow("split")
    split = flow.add("split", {"parts": 5})
    nonsense = flow.add("spawn.nonsense", max_attempts=1)
    async with flows.client() as client:
        await client.submit_workflow(flow)
        merge = await client.wait(job_id_of_spawned(split.job_id, "merge"), WAIT_S)
        refused = await client.wait(nonsense.job_id, WAIT_S)
    assert (merge.state, merge.result, merge.workflow_id) == ("succeeded", 10, "split")
    assert refused.state == "dead"
    assert "field `priority`" in (refused.error_message or "")
    assert flows.wait_for("split", lambda row: bool(row["jobs"] == 8))["succeeded"] == 7


async def test_what_a_failed_parent_means_and_how_a_retry_mends_it(flows: Flows, tmp_path: Path) -> None:
    flow = Workflow("mend")
    fails = flow.add("fail.until", {"file": str(tmp_path / "now")}, name="fails")
    skipped = flow.add("step", name="skipped").after(fails)
    below = flow.add("step", name="below").after(skipped)
    runs = flow.add("step", name="runs").after(fails, on_failure="run")
    waits = flow.add("add", {"own": 1}, name="waits").after(fails, on_failure="wait")
    async with flows.client() as client:
        await client.submit_workflow(flow)
        ended = by_id(
            await client.wait_all([fails.job_id, skipped.job_id, below.job_id, runs.job_id], WAIT_S)
        )
        states = [ended[step.job_id].state for step in (fails, skipped, below, runs)]
        assert states == ["dead", "skipped", "skipped", "succeeded"]
        assert flows.workflow_row("mend")["state"] == "running"
        waiting = await client.get(waits.job_id)
        assert waiting is not None
        assert waiting.state == "waiting"
        (tmp_path / "now").touch()
        assert await retry_dead(flows.where, {fails.job_id}, "test") == ({fails.job_id}, set())
        flows.wait_for("mend", lambda row: bool(row["succeeded"] == 5))
        rows = by_id(await client.wait_all([step.job_id for step in flow], WAIT_S))
    assert {row.state for row in rows.values()} == {"succeeded"}
    assert rows[waits.job_id].result == 2
    starts = [line["job_id"] for line in flows.journal() if line["what"] == "start"]
    assert sorted(starts) == sorted([skipped.job_id, below.job_id, runs.job_id])


async def test_circles_and_parents_nobody_submits_are_refused_by_name(flows: Flows) -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 6)]
    a, b, hangs, lost, gone = ids
    jobs: list[Job] = [
        {"type": "step", "job_id": a, "workflow_id": "round", "depends_on": [b]},
        {"type": "step", "job_id": b, "workflow_id": "round", "depends_on": [a]},
        {"type": "step", "job_id": hangs, "workflow_id": "round", "depends_on": [b]},
        {"type": "step", "job_id": lost, "workflow_id": "lost", "depends_on": [gone]},
    ]
    async with flows.client() as client:
        rows = by_id(await client.wait_all(await client.submit_many(jobs), WAIT_S))
    assert [rows[job].state for job in (a, b, hangs, lost)] == ["refused", "refused", "skipped", "refused"]
    why = {job: str(row.other["last_decision"]) for job, row in rows.items()}
    assert f"in a circle: {a} -> {b} -> {a}" in why[a]
    assert f"no job of its workflow has the id {gone}" in why[lost]
    assert flows.journal() == []


def test_the_commands_submit_show_cancel_and_retry(
    flows: Flows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = flows.mine.environment("cli")

    def cli(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(build("workflow"), ["workflow", *arguments], env=environment)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result.output

    (tmp_path / "flow.yaml").write_text(
        f"""
        workflow: typed
        jobs:
          fails: {{type: fail.until, payload: {{file: {tmp_path / "now"}}}}}
          part-1: {{type: step, group: parts}}
          part-2: {{type: step, group: parts, after: part-1}}
          last: {{type: step, after_group: parts}}
          below: {{type: step, after: fails}}
          waits: {{type: add, payload: {{own: 1}}, after: fails, on_failure: wait}}
        """
    )
    plan = cli("submit", "flow.yaml", "--dry-run")
    assert "workflow typed of tenant default: 6 jobs" in plan
    assert plan.index("layer 2") < plan.index("part-2") < plan.index("layer 3") < plan.index("last")
    assert flows.workflow_row("typed") == {}
    assert "goes on after 1 s" in cli("submit", "flow.yaml", "--wait-timeout", "1s", code=1)
    flows.wait_for("typed", lambda row: bool(row["succeeded"] == 3 and row["skipped"] == 1))
    shown = cli("show", "typed")
    assert "typed: running, 5 of 6 jobs ended (1 waiting, 3 succeeded, 1 dead, 1 skipped)" in shown
    assert "permanent: not yet" in shown
    (tmp_path / "now").touch()
    assert "asked to try 1 of 1 dead jobs again" in cli("retry", "typed")
    row = json.loads(cli("submit", "flow.yaml", "--wait", "--json"))
    assert (row["state"], row["succeeded"]) == ("succeeded", 6)
    assert [one["workflow_id"] for one in json.loads(cli("list", "--json"))] == ["typed"]
    (tmp_path / "flow.yaml").write_text(
        "{workflow: stops, jobs: {never: {type: step, run_at: '2090-01-01T00:00:00Z'},"
        " b: {type: step, after: never}}}"
    )
    ids = json.loads(cli("submit", "flow.yaml", "--json"))["jobs"]
    flows.wait_for("stops", lambda row: bool(row["waiting"] == 2))
    assert "asked to cancel 2 of 2 jobs" in cli("cancel", "stops")
    flows.wait_for("stops", lambda row: bool(row["state"] == "cancelled"))
    assert set(ids) == {"never", "b"}
    assert "has no workflow none" in cli("show", "none", code=1)


def layered(workflow_id: str, jobs: int, layers: int, draw: random.Random) -> Workflow:
    """Make a workflow in layers, each job after up to three of the layer above."""
    flow = Workflow(workflow_id)
    width = jobs // layers
    for layer in range(layers):
        for number in range(width):
            step = flow.add("step", name=f"{layer}-{number}")
            if layer:
                above = draw.sample(range(width), min(width, draw.randint(1, 3)))
                step.after(*(f"{layer - 1}-{one}" for one in above))
    return flow


def check_order(flow: Workflow, lines: list[dict[str, Any]]) -> None:
    """Check that each job ran once, and began after all its parents had ended."""
    ends: dict[str, int] = {}
    starts: dict[str, int] = {}
    for number, line in enumerate(lines):
        place = starts if line["what"] == "start" else ends
        assert line["job_id"] not in place, f"{line} came twice"
        place[line["job_id"]] = number
    assert starts.keys() == ends.keys() == {step.job_id for step in flow}
    for step in flow:
        for parent in step.parents:
            assert ends[flow[parent].job_id] < starts[step.job_id], f"{step.name} began before {parent}"


@pytest.mark.timeout(400)
async def test_a_workflow_runs_in_order_while_the_scheduler_is_killed_again_and_again(
    prepared: Prepared,
) -> None:
    flows = Flows(*prepared)
    flow = layered("killed", 200, 10, random.Random(5))
    others = [name for name in JOB_SERVICES if name != "scheduler"]
    with prepared.mine.running(*others, **prepared.settings):
        async with flows.client() as client:
            await client.submit_many(random.Random(6).sample(flow.jobs(), len(flow)))
        await asyncio.to_thread(_run_killing, flows, len(flow))
        check_order(flow, flows.journal())


def _has_succeeded(wanted: int, row: dict[str, Any]) -> bool:
    return bool(row["succeeded"] >= wanted)


def _run_killing(flows: Flows, jobs: int) -> None:
    """Kill the scheduler whenever a part of the workflow has succeeded, and let the last one end it."""
    for run, wanted in enumerate((1, jobs // 5, jobs // 2, jobs * 4 // 5, jobs)):
        environment = flows.mine.environment("scheduler", **flows.settings)
        path = flows.mine.directory / f"scheduler-{run}.log"
        with Program(path, "-m", "services.scheduler", env=environment) as program:
            flows.wait_for("killed", partial(_has_succeeded, wanted))
            program.process.send_signal(signal.SIGKILL)
