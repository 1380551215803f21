"""The trainer on real servers: rows become a champion though it is killed, and a pipeline's jobs a model."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from adapters.learned.canary import Canary
from adapters.postgres.migrate import upgrade
from core.log import NewRecord
from penstock.connection import DatabaseConnection
from ports.training import is_promotable
from schemas.models import ModelManifest
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers
from tests.support.training import KEY, ROWS, fill, models

APP = """
import time
from penstock import PermanentError, task

@task("good")
def good(ctx, payload):
    return None

@task("bad")
def bad(ctx, payload):
    time.sleep(0.01)
    raise PermanentError("no")
"""
ROUND_JOBS, ENDS = 40, 100


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    (tmp_path / "tasks_trained.py").write_text(APP)
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        yield mine


def trainer_settings(ends: int, failpoints: str = "", **more: str) -> dict[str, str]:
    return {
        "PENSTOCK_TRAINER_CHECK_S": "0.5",
        "PENSTOCK_TRAINER_FIRST_ENDS": str(ends),
        "PENSTOCK_TRAINER_FIRST_FAILURES": "10",
        "PENSTOCK_MODEL_KEY": KEY,
        "PENSTOCK_FAILPOINTS": failpoints,
        **more,
    }


def only_model(mine: Pipeline) -> tuple[ModelManifest, bytes]:
    book, data = models(mine)
    (manifest,) = book.manifests.values()
    return manifest, data[manifest.id]


def test_rows_become_a_champion_once_though_the_trainer_is_killed_on_the_way(mine: Pipeline) -> None:
    fill(mine.database_url)
    with mine.start("trainer", "killed", **trainer_settings(ROWS, "trainer.model_published:kill")) as killed:
        assert killed.process.wait(60) < 0
    manifest, data = only_model(mine)
    assert models(mine)[0].standing is None
    with mine.start("trainer", **trainer_settings(ROWS)) as trainer:

        def has_said_all() -> bool:
            assert trainer.process.poll() is None, trainer.output
            book, _ = models(mine)
            return book.standing is not None and "default" in book.laws

        wait_until(has_said_all, "somebody orders, and costs are told", 60)
        assert trainer.stop() == 0
    book, _ = models(mine)
    assert book.standing is not None
    assert is_promotable(manifest), manifest.judged
    # Not made again: nothing has ended since.
    assert (book.standing.champion, list(book.manifests)) == (manifest.id, [manifest.id])
    assert manifest.metrics["failed_logloss"] < manifest.beside["ewma"]["failed_logloss"]
    assert asyncio.run(Canary(KEY.encode()).try_out(manifest, data)).name == manifest.id


def test_a_database_that_is_away_is_waited_for(mine: Pipeline) -> None:
    settings = trainer_settings(10, PENSTOCK_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    with mine.start("trainer", **settings) as trainer:
        wait_until(lambda: trainer.output.count("cannot be read now") > 1, "it is tried again", 60)
        assert trainer.process.poll() is None
        assert trainer.stop() == 0


def test_a_pipelines_own_jobs_become_a_model(mine: Pipeline) -> None:
    kinds = ("good", "good", "bad", "good")
    jobs = [json.dumps({"type": kinds[n % 4], "tenant": "acme"}).encode() for n in range(ROUND_JOBS)]
    settings = {
        "PENSTOCK_APP": "tasks_trained",
        "PENSTOCK_APP_PATH": str(mine.directory),
        "PENSTOCK_VECTORS_PER_S": "1000",
    }
    services = ("ingest", "prioritizer", "executor", "features", "materializer", "trainer")
    with mine.running(*services, **settings, **trainer_settings(ENDS)):

        def are_enough_logged() -> bool:
            # The first are scored before anything is known; nothing is logged of those.
            mine.append([NewRecord(mine.routes.jobs, n % 2, None, job) for n, job in enumerate(jobs)])
            time.sleep(1)
            return _logged(mine) >= ENDS

        wait_until(are_enough_logged, "dispatches are scored by what is known", 90)
        wait_until(lambda: models(mine)[0].standing is not None, "a model is published, and watches", 60)
    manifest, _ = only_model(mine)
    assert manifest.rows >= 0.8 * ENDS - 1
    assert "ends in the newest slice" in manifest.judged
    standing = models(mine)[0].standing
    assert standing is not None
    assert (standing.champion, standing.shadow) == (None, manifest.id)


def _logged(mine: Pipeline) -> int:
    with psycopg.connect(mine.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM job_scores").fetchone()
    assert row is not None
    return int(row[0])
