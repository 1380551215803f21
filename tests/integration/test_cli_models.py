"""The commands of models, on a real Kafka and without a Postgres."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from adapters.learned.heads import pack
from penstock.cli.main import build
from ports.model_shelf import ModelShelf
from schemas.model_signature import signed
from schemas.models import ModelManifest, PoolLaw, Purpose, sha256_of
from tests.support.models_under_test import NAMES, a_manifest, some_bytes
from tests.support.pipeline import Pipeline, pipeline
from tests.support.servers import Servers
from tests.support.small_models import published, small_heads, with_node

KEY = "a key that nobody knows"


@pytest.fixture
def mine(
    servers: Servers, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    # A .penstock of the checkout must not fill what the environment leaves out.
    monkeypatch.chdir(tmp_path)
    with pipeline(
        servers, topic_prefix, tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none"
    ) as mine:
        yield mine


class Cli:
    def __init__(self, mine: Pipeline) -> None:
        self._environment = mine.environment("cli", PENSTOCK_MODEL_KEY=KEY)

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(build("models"), ["models", *arguments], env=self._environment)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


def with_shelf(
    mine: Pipeline,
    work: Callable[[ModelShelf], Awaitable[None]],
    purpose: Purpose = Purpose.ORDER,
) -> None:
    async def run() -> None:
        async with mine.shelf(purpose) as shelf:
            await work(shelf)

    asyncio.run(run())


def put(mine: Pipeline, *models: tuple[ModelManifest, bytes]) -> None:
    async def publish(shelf: ModelShelf) -> None:
        for manifest, data in models:
            await shelf.publish(signed(manifest, KEY.encode()), data)
        await shelf.tell_laws([PoolLaw("default", 1.0, 64.0, 500, 1_700_000_000_000)])

    with_shelf(mine, publish)


def good(seed: int, minute: int, **changed: Any) -> tuple[ModelManifest, bytes]:
    manifest, data = published(small_heads(seed), minute)
    return msgspec.structs.replace(manifest, **changed), data


def test_models_are_listed_compared_promoted_taken_back_and_switched_off(mine: Pipeline) -> None:
    cli = Cli(mine)
    assert "There are no models" in cli("list").stdout
    assert "no model 'x'" in cli("promote", "x", code=1).stderr
    one, two = good(1, 1), good(2, 2, metrics={"run_spearman": 0.95}, judged="better")
    put(mine, one, two)
    first, second = one[0].id, two[0].id

    assert "nothing to roll back to" in cli("rollback", code=1).stderr
    assert f"ordered by model {first}" in cli("promote", first[-8:], "--reason", "the first").stdout
    assert f"model {first} is the champion already" in cli("promote", first).stdout
    said = cli("promote", "newest", "--reason", "better").stdout
    assert f"previous {first}" in said
    assert "Its verdict was: better" in said
    listed = cli.json("list")
    assert (listed["standing"]["champion"], listed["standing"]["reason"]) == (second, "better")
    assert listed["standing"]["by"].startswith("cli:")
    assert [(one["id"], one["role"], one["signed"]) for one in listed["models"]] == [
        (second, "champion", True),
        (first, "previous", True),
    ]
    assert listed["pools"][0] == {
        "pool": "default",
        "low_s": 1.0,
        "high_s": 64.0,
        "ends": 500,
        "at": "2023-11-14T22:13:20Z",
    }
    table = cli("list").stdout
    assert second in table
    assert "better" in table
    assert "run_spearman" in cli("show").stdout
    assert len(cli.json("show", first)["features"]) == len(NAMES)
    found = cli.json("diff", second, first)
    assert {"metric": "run_spearman", "one": 0.95, "other": 0.9, "difference": pytest.approx(0.05)} in found[
        "metrics"
    ]
    assert "features added: none" in cli("diff", "previous").stdout

    assert cli.json("rollback", "--reason", "worse after all")["champion"] == first
    assert "Models are disabled" in cli("disable", "--reason", "an incident").stdout
    assert "disabled already" in cli("disable").stdout
    # Promoted while disabled, it stays disabled.
    assert cli.json("promote", second)["enabled"] is False
    assert cli.json("enable")["champion"] == second
    assert cli.json("shadow", first)["shadow"] == first
    assert cli.json("shadow", "none")["shadow"] is None
    assert cli.json("promote", "ewma")["champion"] is None


def test_what_must_not_be_used_is_refused_and_changes_nothing(mine: Pipeline) -> None:
    cli = Cli(mine)
    edited = pack(with_node(small_heads(), "left_children", 1_000_000))
    digest = sha256_of(edited)
    bad = msgspec.structs.replace(
        good(1, 2)[0], sha256=digest, id=f"20231114-221500-{digest[:8]}", size_bytes=len(edited)
    )
    unfit = good(2, 3, features=NAMES[1:])
    put(mine, good(3, 1), (bad, edited), unfit)

    async def publish_unsigned(shelf: ModelShelf) -> None:
        await shelf.publish(*good(4, 4))

    with_shelf(mine, publish_unsigned)
    assert "a child that is not one" in cli("promote", bad.id, code=1).stderr
    assert "not signed" in cli("promote", "newest", code=1).stderr
    assert f"it lacks {NAMES[0]}" in cli("promote", unfit[0].id, code=1).stderr
    assert cli.json("list")["standing"] is None
    # Somebody insists: prioritizers will refuse it, and go on with what they have.
    assert cli.json("promote", bad.id, "--untried")["champion"] == bad.id


def test_models_that_time_retries_are_spoken_of_by_their_purpose(mine: Pipeline) -> None:
    cli = Cli(mine)
    order, data = good(1, 1), some_bytes(1)
    retry = a_manifest(data, 2, purpose=Purpose.RETRY)

    async def publish(shelf: ModelShelf) -> None:
        await shelf.publish(retry, data)

    put(mine, order)
    with_shelf(mine, publish, Purpose.RETRY)
    purpose = ("--purpose", "retry")
    listed = cli.json("list", *purpose)
    assert [(one["id"], one["purpose"]) for one in listed["models"]] == [(retry.id, "retry")]
    assert listed["pools"] == []
    assert [one["id"] for one in cli.json("list")["models"]] == [order[0].id]
    assert cli.json("show", "newest", *purpose)["id"] == retry.id
    assert f"no model {retry.id!r}" in cli("promote", retry.id, code=1).stderr

    said = cli("promote", "newest", "--untried", *purpose).stdout
    assert f"Retries are timed by model {retry.id}" in said
    assert cli.json("list")["standing"] is None
    assert cli.json("promote", order[0].id)["champion"] == order[0].id
    assert cli.json("disable", *purpose)["enabled"] is False
    assert cli.json("list")["standing"]["enabled"] is True
    assert cli.json("enable", *purpose)["champion"] == retry.id
    assert cli.json("promote", "history", *purpose)["champion"] is None
    assert cli.json("rollback", *purpose)["champion"] == retry.id
    assert cli.json("list")["standing"]["champion"] == order[0].id
