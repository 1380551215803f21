"""``penstock train`` on real servers: a verdict, a file, and a champion."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from adapters.learned.canary import Canary
from adapters.learned.heads import unpack
from adapters.postgres.migrate import upgrade
from penstock.cli.main import build
from penstock.connection import DatabaseConnection
from schemas.model_signature import is_signed
from schemas.models import ModelManifest, Purpose, sha256_of
from tests.support.pipeline import Pipeline, pipeline
from tests.support.retry_decisions import fill_decisions, logged_of
from tests.support.servers import Servers
from tests.support.training import KEY, ROWS, fill, models

NOTHING: Mapping[str, str] = {}
SAMPLE = Path(__file__).parents[1] / "data" / "google2011_sample.csv"


def run(*arguments: str, code: int = 0, environment: Mapping[str, str] = NOTHING) -> Result:
    result = CliRunner().invoke(build("train"), ["train", *arguments], env={**os.environ, **environment})
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_recording_needs_no_pipeline_and_becomes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "model"
    said = document(run("--from-trace", str(SAMPLE), "--kind", "tree", "--out", str(out), "--json"))
    assert (said["kind"], said["published"], said["may_be_promoted"]) == ("tree", False, False)
    assert said["metrics"].keys() == said["beside"]["ewma"].keys()
    assert sha256_of(out.read_bytes()) == said["sha256"]
    assert [head.rounds for head in unpack(out.read_bytes()).run] == [1]
    manifest = msgspec.json.decode((tmp_path / "model.json").read_bytes(), type=ModelManifest)
    assert manifest.id == said["id"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--from-trace", __file__), 1, "neither a Google 2011 header"),
        (("--from-trace", "nowhere"), 2, "does not exist"),
        (("--from-trace", str(SAMPLE), "--out", "/nowhere/model"), 2, "there is no directory /nowhere"),
        (("--from-trace", str(SAMPLE), "--rows", "5"), 2, "--rows"),
        (("--purpose", "retry", "--from-trace", str(SAMPLE)), 2, "no recording has"),
        (("--purpose", "retry", "--kind", "tree"), 2, "are of one kind"),
        ((), 1, "there is no"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PENSTOCK_KAFKA_BOOTSTRAP", "PENSTOCK_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert said in " ".join(run(*arguments, code=code).output.split())


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    # A .penstock of the checkout must not fill what the environment leaves out.
    monkeypatch.chdir(tmp_path)
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        yield mine


def test_decisions_about_failures_become_the_champion_that_times_retries(mine: Pipeline) -> None:
    environment = mine.environment("cli", PENSTOCK_MODEL_KEY=KEY)
    fill_decisions(mine.database_url, logged_of())
    said = document(run("--purpose", "retry", "--promote", "--json", environment=environment))
    assert (said["kind"], said["purpose"], said["promoted"]) == ("recovery", "retry", True), said["verdict"]
    assert said["metrics"]["log_score"] < said["beside"]["history"]["log_score"]
    retries, data = models(mine, Purpose.RETRY)
    assert retries.standing is not None
    assert retries.standing.champion == said["id"]
    assert models(mine)[0].standing is None
    manifest = retries.manifests[said["id"]]
    model = asyncio.run(Canary(KEY.encode()).try_out_recovery(manifest, data[manifest.id]))
    assert model.name == said["id"]
    assert len(model.history) > 1


def test_rows_become_a_champion_and_the_next_model_is_judged_beside_it(mine: Pipeline) -> None:
    environment = mine.environment("cli", PENSTOCK_MODEL_KEY=KEY)
    fill(mine.database_url)
    # Too little to judge by: published, and no champion.
    thin = run("--rows", "300", "--kind", "tree", "--promote", code=1, environment=environment)
    assert "is not promoted" in thin.output
    book, _ = models(mine)
    assert book.standing is None
    said = document(run("--kind", "tree", "--promote", "--json", environment=environment))
    assert (said["published"], said["promoted"], said["ends"]) == (True, True, ROWS)
    book, data = models(mine)
    assert book.standing is not None
    assert book.standing.champion == said["id"]
    assert book.standing.by.startswith("cli:")
    champion = book.manifests[said["id"]]
    assert is_signed(champion, KEY.encode())
    assert sha256_of(data[champion.id]) == champion.sha256
    beside = run("--kind", "tree", environment=environment).stdout
    assert "champion" in beside
    assert "nothing is published" in beside
    assert len(models(mine)[0].manifests) == 2
