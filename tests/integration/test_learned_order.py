"""Models beside running jobs: one that orders well comes to order, one that does not never does."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adapters.learned.heads import Heads
from adapters.learned.rows import Rows
from adapters.learned.training import Recipe, train
from core.learning.events import Status
from core.learning.features import COLUMN
from core.learning.trust import PROVEN_AFTER
from core.ledger.notes import Queued
from penstock.client import Job
from schemas.codec import decode_if_note, decode_outcome
from schemas.models import PoolLaw, Standing
from tests.support.models_under_test import a_standing
from tests.support.pipeline import Pipeline, pipeline
from tests.support.servers import Servers
from tests.support.small_models import published
from tests.support.vectors import unknown_vectors

APP = """
import asyncio
from penstock import task

@task("quick")
async def quick(ctx, payload):
    await asyncio.sleep(0.001)

@task("slow")
async def slow(ctx, payload):
    await asyncio.sleep(0.06)
"""
LAW = PoolLaw("default", 0.002, 0.2, 500, 1)
"""Quick and slow jobs stand in buckets of their own: in one bucket no model orders anything."""
ROUND_JOBS = 200
ROUNDS_MAX = 40
EVIDENCE = PROVEN_AFTER + 100
"""Completions after which a model that deserved it would have been trusted."""


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_to_order.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    with pipeline(servers, topic_prefix, tmp_path) as prepared:
        yield prepared


def heads(*, reversed_: bool) -> Heads:
    """Train what says the opposite of the running mean, or what adds nothing to it."""
    dice = np.random.default_rng(1)
    jobs = 2000
    vectors = unknown_vectors(jobs)
    expected = dice.uniform(0, 12, jobs).astype(np.float32)
    vectors[:, COLUMN["expected_run"]] = expected
    vectors[:, COLUMN["expected_failed"]] = 0.01
    decided = np.arange(jobs, dtype=np.int64) * 1000
    run = np.expm1(12 - expected if reversed_ else expected).astype(np.int64)
    status = np.where(np.arange(jobs) % 50 == 0, Status.FAILED, Status.OK).astype(np.int8)
    rounds = 40 if reversed_ else 1
    recipe = Recipe(limit_ms=10**7, run_rounds=(rounds, rounds), failed_rounds=(3,) * 4)
    return train(Rows(vectors, decided, decided, decided + run, run, status), 10**10, recipe)


async def put_in_force(
    mine: Pipeline, standing: Standing, model: Heads | None = None, minute: int = 0
) -> str:
    """Publish a model and let it be champion; gives its id."""
    name = ""
    async with mine.shelf() as shelf:
        if model is not None:
            manifest, data = published(model, minute)
            name = manifest.id
            await shelf.publish(manifest, data)
            await shelf.tell_laws([LAW])
            standing = a_standing(name)
        await shelf.act(lambda _: standing)
    return name


async def run_round(mine: Pipeline) -> list[str]:
    """Submit some jobs and wait until they are done; gives whose word ordered each."""
    async with mine.client() as client:
        jobs = [Job(type="slow" if number % 3 == 0 else "quick", payload={}) for number in range(ROUND_JOBS)]
        refs = {ref.job_id for ref in await client.submit_many(jobs)}
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        await asyncio.sleep(0.3)
        notes = [decode_if_note(record) for record in await mine.read_async(mine.routes.ledger)]
        models = [one.model_version for one in notes if isinstance(one, Queued) and one.job_id in refs]
        if len(models) >= ROUND_JOBS:
            return models
    raise AssertionError("jobs were not queued")


async def seen(mine: Pipeline, model: str) -> int:
    batches = [decode_outcome(record) for record in await mine.read_async(mine.routes.outcomes)]
    return sum(run.model == model for batch in batches for run in batch.seen)


async def rounds_until(mine: Pipeline, wanted: str, *, evidence_of: str = "") -> list[str]:
    """Run rounds until a model orders, or until there is evidence enough of another; gives the last round."""
    for _ in range(ROUNDS_MAX):
        models = await run_round(mine)
        if set(models) == {wanted} and (not evidence_of or await seen(mine, evidence_of) > EVIDENCE):
            return models
    raise AssertionError(f"after {ROUNDS_MAX} rounds jobs are ordered by {set(models)}, not by {wanted}")


async def test_a_model_is_trusted_once_it_has_shown_that_it_orders_and_a_reversed_one_never(
    mine: Pipeline,
) -> None:
    settings = {"PENSTOCK_APP": "tasks_to_order", "PENSTOCK_APP_PATH": str(mine.directory / "app")}
    with (
        mine.running("ingest"),
        mine.running("features"),
        mine.running("prioritizer"),
        mine.running("executor", **settings),
    ):
        assert set(await run_round(mine)) == {"rule"}
        await rounds_until(mine, "ewma")
        bad = await put_in_force(mine, a_standing(), heads(reversed_=True), 1)
        await rounds_until(mine, "ewma", evidence_of=bad)
        good = await put_in_force(mine, a_standing(), heads(reversed_=False), 2)
        await rounds_until(mine, good)
        assert await seen(mine, good) >= PROVEN_AFTER
        await put_in_force(mine, a_standing(good, enabled=False))
        await rounds_until(mine, "rule")
