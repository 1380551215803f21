"""A low job that a high one waits for overtakes the backlog it was queued behind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.postgres.migrate import upgrade
from core.ledger.notes import Queued
from core.ledger.verdicts import Claimed
from penstock.client.submission import Job
from penstock.connection import DatabaseConnection
from schemas.codec import decode_event
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

APP = """
import time
from penstock import task

@task("short")
def short(ctx, payload):
    time.sleep(0.3)
"""
BACKLOG = 40


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    (tmp_path / "tasks_short.py").write_text(APP)
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        yield mine


def submit(mine: Pipeline, jobs: list[Job]) -> list[str]:
    """Submit, and wait until what may be queued of it is; give the ids."""

    async def send() -> list[str]:
        async with mine.client() as client:
            return [ref.job_id for ref in await client.submit_many(jobs)]

    return asyncio.run(send())


def said(mine: Pipeline, kind: type[Queued | Claimed]) -> list[Queued | Claimed]:
    events = map(decode_event, mine.read(mine.routes.ledger))
    return [event for event in events if isinstance(event, kind)]


LOW: Job = {"type": "short", "priority": 0}
HIGH: Job = {"type": "short", "priority": 9}
FIRST, SECOND, LAST = (f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2, 3))
IN_KEY: list[Job] = [{**LOW, "ordering_key": "wanted"}, {**HIGH, "ordering_key": "wanted"}]
IN_WORKFLOW: list[Job] = [
    {**LOW, "workflow_id": "wanted", "job_id": FIRST},
    {**LOW, "workflow_id": "wanted", "job_id": SECOND, "depends_on": [FIRST]},
    {**HIGH, "workflow_id": "wanted", "job_id": LAST, "depends_on": [SECOND]},
]
"""The second has not passed yet when the last comes; what it inherits it carries from the beginning."""


@pytest.mark.parametrize(
    "chain", [IN_KEY, IN_WORKFLOW], ids=["in its key", "through two layers of its workflow"]
)
def test_a_low_job_queued_behind_a_backlog_starts_before_it_once_a_high_one_waits_for_it(
    mine: Pipeline, chain: list[Job]
) -> None:
    alone: list[Job] = [{"type": "short", "priority": 0, "ordering_key": f"alone-{n}"} for n in range(3)]
    medium: Job = {"type": "short"}
    with mine.running("ingest", "scheduler", "prioritizer"):
        lows = submit(mine, [chain[0], *alone])
        wait_until(lambda: len(said(mine, Queued)) == 4, "the low ones are queued", 60)
        backlog = submit(mine, [medium] * BACKLOG)
        wait_until(lambda: len(said(mine, Queued)) == 4 + BACKLOG, "the backlog is queued", 60)
        behind = submit(mine, chain[1:])
        wait_until(lambda: len(said(mine, Queued)) == 5 + BACKLOG, "the low one is queued again", 60)
        assert {one.job_id for one in said(mine, Queued)} == {*lows, *backlog}
        assert inherited(mine, lows[0]) == [None, 9 * 600.0]
        settings = {"PENSTOCK_APP": "tasks_short", "PENSTOCK_APP_PATH": str(mine.directory)}
        # The lows that nobody waits for are the oldest: every tenth start would be theirs.
        settings["PENSTOCK_OLDEST_SHARE"] = "0"
        runs = 3 + BACKLOG + len(chain)
        with mine.running("executor", PENSTOCK_WORKERS="1", PENSTOCK_SLOTS="1", **settings):
            wait_until(lambda: len(said(mine, Claimed)) == runs, "all have run", 90)
    # One executor claims, one at a time: by the number it gives its claims they stand in one line. What is
    # fetched first may come first, whatever its bucket; nothing else may.
    claims = [one for one in said(mine, Claimed) if isinstance(one, Claimed)]
    line = [one.job_id for one in sorted(claims, key=lambda one: one.seq)]
    assert sorted(line) == sorted([*lows, *backlog, *behind])
    assert line.index(lows[0]) < BACKLOG // 8
    assert [one for one in line if one in {lows[0], *behind}] == [lows[0], *behind]
    assert line.index(behind[-1]) < max(map(line.index, backlog))
    assert sorted(map(line.index, lows[1:]))[1] > max(map(line.index, backlog))
    assert [inherited(mine, one) for one in behind] == [*[[9 * 600.0]] * (len(behind) - 1), [None]]


def inherited(mine: Pipeline, job_id: str) -> list[float | None]:
    """What every copy of a job that was queued had from others."""
    copies = [one for one in said(mine, Queued) if one.job_id == job_id]
    return [one.score_parts.get("inherited") for one in copies if isinstance(one, Queued)]
