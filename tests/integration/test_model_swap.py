"""Models on a real Kafka: from publishing to use, and how long a promotion takes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from adapters.kafka.reader import reading
from adapters.learned.canary import Canary
from adapters.learned.heads import pack
from adapters.telemetry.prometheus import PrometheusMeter
from core.ledger.notes import Queued
from core.log import NewRecord
from ports.model_shelf import ModelShelf
from ports.model_watch import ModelWatch
from ports.models import Model
from schemas.codec import decode_if_note
from schemas.model_book import ModelBook
from schemas.model_signature import signed
from schemas.models import ModelManifest, PoolLaw, Standing, sha256_of
from tests.support.models_under_test import a_manifest, a_standing, some_bytes
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers
from tests.support.small_models import published, small_heads, with_node

logger = logging.getLogger(__name__)
KEY = b"a key that nobody knows"
SWAP_MAX_S = 1.0
"""From the append of a promotion until the model is in use."""
PATIENCE_S = 60


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(servers, topic_prefix, tmp_path) as mine:
        yield mine


@asynccontextmanager
async def a_watch(mine: Pipeline) -> AsyncIterator[ModelWatch[Model]]:
    async with reading(mine.kafka, client_id="test-watch") as reader:
        watch = ModelWatch(reader, mine.routes, PrometheusMeter(), try_out=Canary(KEY).try_out)
        stopping = asyncio.Event()
        await watch.start()
        task = asyncio.create_task(watch.run(stopping))
        try:
            yield watch
        finally:
            stopping.set()
            await task


def champion(watch: ModelWatch[Model]) -> str | None:
    return None if watch.champion is None else watch.champion.name


async def until(true: Callable[[], bool]) -> float:
    """Wait; give how many seconds that took."""
    began_s = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)
    return time.monotonic() - began_s


def good(seed: int, minute: int) -> tuple[ModelManifest, bytes]:
    manifest, data = published(small_heads(seed), minute)
    return signed(manifest, KEY), data


async def swap(shelf: ModelShelf, watch: ModelWatch[Model], standing: Standing) -> float:
    """Promote, and give how long it took from before the append until it is in use, seconds."""
    appended_s: list[float] = []

    def decide(_: ModelBook) -> Standing:
        appended_s.append(time.monotonic())
        return standing

    act = asyncio.create_task(shelf.act(decide))
    wanted = standing.champion if standing.enabled else None
    await until(lambda: champion(watch) == wanted)
    took_s = time.monotonic() - appended_s[0]
    await act
    return took_s


async def test_a_promotion_is_in_use_within_a_second_and_a_damaged_model_changes_nothing(
    mine: Pipeline,
) -> None:
    one, two = good(1, 1), good(2, 2)
    edited = pack(with_node(small_heads(3), "left_children", 1_000_000))
    bad, _ = published(small_heads(3), 3)
    bad = signed(_speaking_of(bad, edited), KEY)
    async with mine.shelf() as shelf, a_watch(mine) as watch:
        await shelf.publish(*one)
        await shelf.tell_laws([PoolLaw("default", 1.0, 64.0, 500, 1)])
        await shelf.act(lambda _: a_standing(one[0].id))
        await until(lambda: champion(watch) == one[0].id)
        await shelf.publish(*two)
        await until(lambda: two[0].id in watch._good)
        took_s = {"promoted": await swap(shelf, watch, a_standing(two[0].id, one[0].id))}
        took_s["rolled back"] = await swap(shelf, watch, a_standing(one[0].id, two[0].id))
        took_s["disabled"] = await swap(shelf, watch, a_standing(one[0].id, two[0].id, enabled=False))
        assert watch.law("default") is None
        took_s["enabled"] = await swap(shelf, watch, a_standing(one[0].id, two[0].id))
        logger.info("seconds from the append until in use: %s", took_s)
        assert max(took_s.values()) < SWAP_MAX_S, took_s
        assert watch.law("default") == (1.0, 64.0)

        await shelf.publish(bad, edited)
        await shelf.act(lambda _: a_standing(bad.id, one[0].id))
        await until(lambda: bad.id in watch._refused_at_s)
        assert champion(watch) == one[0].id
        # Nothing is stuck: the next one comes into use.
        assert await swap(shelf, watch, a_standing(two[0].id, one[0].id)) < PATIENCE_S


def _speaking_of(manifest: ModelManifest, data: bytes) -> ModelManifest:
    """Speak of damaged bytes as if they were meant."""
    digest = sha256_of(data)
    return msgspec.structs.replace(
        manifest, sha256=digest, id=manifest.id[:16] + digest[:8], size_bytes=len(data)
    )


async def test_a_model_of_many_chunks_is_read_back_and_one_who_comes_later_has_it(mine: Pipeline) -> None:
    manifest, data = good(1, 1)
    async with mine.shelf() as shelf:
        large = some_bytes(1, 5_000_000)
        await shelf.publish(a_manifest(large, 9), large)
        assert await shelf.bytes_of(a_manifest(large, 9)) == large
        await shelf.publish(manifest, data)
        await shelf.act(lambda _: a_standing(manifest.id))
    async with a_watch(mine) as watch:
        await until(lambda: champion(watch) == manifest.id)


def queued(mine: Pipeline) -> set[str]:
    notes = [decode_if_note(record) for record in mine.read(mine.routes.ledger)]
    return {note.job_id for note in notes if isinstance(note, Queued)}


async def submit(mine: Pipeline, jobs: int) -> None:
    await mine.append_async([NewRecord(mine.routes.jobs, n % 2, None, b'{"type":"t"}') for n in range(jobs)])


def test_a_running_prioritizer_survives_a_damaged_model_and_loses_no_job(mine: Pipeline) -> None:
    edited = pack(with_node(small_heads(3), "left_children", 1_000_000))
    bad = signed(_speaking_of(published(small_heads(3), 3)[0], edited), KEY)
    one = good(1, 1)

    async def promote(manifest: ModelManifest, data: bytes, jobs: int = 0) -> None:
        async with mine.shelf() as shelf:
            await shelf.publish(manifest, data)
            await shelf.act(lambda _: a_standing(manifest.id, one[0].id))
            await submit(mine, jobs)

    with mine.running("ingest"), mine.start("prioritizer", PENSTOCK_MODEL_KEY=KEY.decode()) as program:
        asyncio.run(promote(*one))
        wait_until(lambda: f"jobs are ordered by {one[0].id}" in program.output, "the good model", 60)
        # While it is tried, and after it was refused.
        asyncio.run(promote(bad, edited, 50))
        wait_until(lambda: f"model {bad.id} is refused" in program.output, "the refusal", 60)
        asyncio.run(submit(mine, 50))
        wait_until(lambda: len(queued(mine)) == 100, "all jobs are queued", 60)
        assert program.process.poll() is None
        (refusal,) = [line for line in program.output.splitlines() if f"model {bad.id} is refused" in line]
    assert "a child that is not one" in refusal
    assert f"jobs are ordered by {one[0].id}" in refusal
