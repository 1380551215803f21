"""The tables of models: what the topic says, also when who writes them dies between two effects."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from adapters.postgres.migrate import upgrade
from penstock.connection import DatabaseConnection
from ports.model_shelf import ModelShelf
from schemas.models import Purpose
from tests.support.models_under_test import NAMES, a_manifest, a_standing, some_bytes
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

DATA = [some_bytes(seed) for seed in range(3)]
MODELS = [a_manifest(data, minute) for minute, data in enumerate(DATA)]
ONE, TWO, THREE = [manifest.id for manifest in MODELS]
ACTS = {
    "open": a_standing(ONE),
    "moved": a_standing(TWO, ONE),
    "merged": a_standing(ONE, TWO, by="bob"),
    "committed": a_standing(TWO, ONE, THREE, reason="once more"),
}
"""By where the writer is killed that reads them first."""
OFF = a_standing(TWO, ONE, THREE, enabled=False, reason="an incident")
RETRY = a_manifest(DATA[0][::-1], 9, purpose=Purpose.RETRY)
TIMES = a_standing(RETRY.id, reason="times retries")


def work(
    mine: Pipeline,
    do: Callable[[ModelShelf], Awaitable[object]],
    purpose: Purpose = Purpose.ORDER,
) -> None:
    async def run() -> None:
        async with mine.shelf(purpose) as shelf:
            await do(shelf)

    asyncio.run(run())


async def publish(shelf: ModelShelf) -> None:
    for manifest, data in zip(MODELS, DATA, strict=True):
        await shelf.publish(manifest, data)


async def publish_and_promote_for_retries(shelf: ModelShelf) -> None:
    await shelf.publish(RETRY, DATA[0][::-1])
    await shelf.act(lambda _: TIMES)


def rows(url: str, view: str, order: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(f"SELECT * FROM {view} ORDER BY {order}").fetchall()


def test_the_tables_show_models_and_acts_wherever_their_writer_dies(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    upgrade(DatabaseConnection.model_validate({"url": database_url}))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        work(mine, publish)
        for point, act in ACTS.items():
            work(mine, lambda shelf, act=act: shelf.act(lambda _: act))  # type: ignore[misc]
            dies = {"PENSTOCK_FAILPOINTS": f"materializer.models_{point}:kill"}
            with mine.start("materializer", **dies) as program:
                wait_until(lambda: program.process.poll() is not None, f"the writer's death at {point}", 60)
                assert program.process.returncode == -signal.SIGKILL, program.output
        with mine.running("materializer"):
            wait_until(lambda: len(rows(database_url, "v1_model_acts", "log_offset")) == 4, "four acts", 60)
            found = rows(database_url, "v1_models", "id")
            work(mine, publish_and_promote_for_retries, Purpose.RETRY)
            work(mine, lambda shelf: shelf.act(lambda _: OFF))
            wait_until(
                lambda: len(rows(database_url, "v1_model_acts", "log_offset")) == 6, "the last act", 60
            )
        last = rows(database_url, "v1_models", "id")
        acts = rows(database_url, "v1_model_acts", "log_offset")
    assert [(row["id"], row["role"], row["orders"]) for row in found] == [
        (MODELS[0].id, "previous", False),
        (MODELS[1].id, "champion", True),
        (MODELS[2].id, "shadow", False),
    ]
    assert found[0]["features"] == list(NAMES)
    assert found[0]["metrics"] == MODELS[0].metrics
    assert found[0]["created_at"].timestamp() * 1000 == MODELS[0].created_ms
    assert [(act["champion"], act["said_by"], act["reason"], act["enabled"]) for act in acts] == [
        (act.champion, act.by, act.reason, act.enabled) for act in (*ACTS.values(), TIMES, OFF)
    ]
    assert [act["purpose"] for act in acts] == ["order"] * 4 + ["retry", "order"]
    assert [row["orders"] for row in last] == [False] * 4
    assert [row["in_force"] for row in last] == [False] * 3 + [True]
    assert [(row["id"], row["role"], row["purpose"]) for row in last] == [
        (ONE, "previous", "order"),
        (TWO, "champion", "order"),
        (THREE, "shadow", "order"),
        (RETRY.id, "champion", "retry"),
    ]
