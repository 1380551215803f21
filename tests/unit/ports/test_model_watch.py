"""Which model is in force: tried out before, swapped at once, and never lost to one that is bad."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.learned.plain import ConstantModel
from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from adapters.telemetry.prometheus import PrometheusMeter
from ports import model_watch
from ports.model_shelf import ModelShelf
from ports.model_watch import ModelWatch, RefusedModelError
from ports.models import Model
from schemas.models import (
    ModelManifest,
    PoolLaw,
    Purpose,
    Removed,
    Standing,
    law_record,
    manifest_record,
    removal_record,
    standing_record,
)
from schemas.topics import RouteMap
from tests.support.models_under_test import a_manifest, a_standing, some_bytes

ROUTES = RouteMap()
PATIENCE_S = 10


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_watch, "POLL_S", 0.01)


class Named(ConstantModel):
    def __init__(self, name: str) -> None:
        self.name = name


class World:
    """A watch on a topic, and a trial that can be made to refuse, to fail, and to wait."""

    def __init__(self, broker: MemoryBroker | None = None, purpose: Purpose = Purpose.ORDER) -> None:
        self.broker = broker or MemoryBroker(lambda: 1)
        self.broker.create_topics(ROUTES.specs())
        self.purpose = purpose
        self.shelf = ModelShelf(
            MemoryReader(self.broker), MemoryAppender(self.broker), ROUTES, purpose=purpose
        )
        self.refused: dict[str, Exception] = {}
        self.tried: list[str] = []
        self.given: dict[str, bytes] = {}
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.meter = PrometheusMeter()
        self.watch: ModelWatch[Model] = ModelWatch(
            MemoryReader(self.broker), ROUTES, self.meter, try_out=self.try_out, purpose=purpose
        )

    async def try_out(self, manifest: ModelManifest, data: bytes) -> Model:
        self.tried.append(manifest.id)
        self.given[manifest.id] = data
        await self.may_end.wait()
        if manifest.id in self.refused:
            raise self.refused[manifest.id]
        return Named(manifest.id)

    async def publish(self, seed: int) -> str:
        data = some_bytes(seed)
        manifest = a_manifest(data, seed, purpose=self.purpose)
        await self.shelf.publish(manifest, data)
        return manifest.id

    def say(self, standing: Standing) -> None:
        self.broker.write(standing_record(ROUTES, standing, self.purpose))

    @property
    def champion(self) -> str | None:
        return None if self.watch.champion is None else self.watch.champion.name

    @property
    def shadow(self) -> str | None:
        return None if self.watch.shadow is None else self.watch.shadow.name

    def tried_out(self, result: str) -> float:
        labels = {"purpose": self.purpose.value, "result": result}
        return self.meter.registry.get_sample_value("penstock_models_tried_total", labels) or 0


@asynccontextmanager
async def following(world: World) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    await world.watch.start()
    task = asyncio.create_task(world.watch.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


async def test_without_anything_there_is_no_model_and_nobody_waits() -> None:
    world = World()
    async with following(world):
        assert (world.watch.champion, world.watch.shadow, world.watch.standing) == (None, None, None)
        assert world.watch.law("default") is None


async def test_the_champion_and_the_shadow_are_in_force_after_they_were_tried_with_their_bytes() -> None:
    world = World()
    one, two, three = [await world.publish(seed) for seed in (1, 2, 3)]
    world.say(a_standing(one, None, two))
    async with following(world):
        await until(lambda: (world.champion, world.shadow) == (one, two))
        assert world.given[one] == some_bytes(1)
        await until(lambda: three in world.tried)
        assert world.champion == one


async def test_a_model_that_was_published_while_it_follows_is_ready_before_it_is_promoted() -> None:
    world = World()
    one = await world.publish(1)
    world.say(a_standing(one))
    async with following(world):
        await until(lambda: world.champion == one)
        two = await world.publish(2)
        await until(lambda: world.tried == [one, two])
        world.may_end.clear()
        world.say(a_standing(two, one))
        await until(lambda: world.champion == two)
        # And back: without another trial.
        world.say(a_standing(one, two))
        await until(lambda: world.champion == one)
        assert world.tried == [one, two]


@pytest.mark.parametrize(
    "error", [RefusedModelError("it crashed: roll back"), RuntimeError("something else")]
)
async def test_a_refused_model_is_said_and_the_old_one_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    one = await world.publish(1)
    world.say(a_standing(one))
    async with following(world):
        await until(lambda: world.champion == one)
        two = a_manifest(some_bytes(2), 2)
        world.refused[two.id] = error
        with caplog.at_level(logging.ERROR):
            await world.publish(2)
            world.say(a_standing(two.id, one))
            await until(lambda: world.tried_out("refused") >= 1 and world.watch.standing is not None)
            await until(lambda: (world.watch.standing or a_standing()).champion == two.id)
        assert world.champion == one
        assert f"model {two.id} is refused: {error}" in caplog.text
        # Whoever says so again has a reason.
        del world.refused[two.id]
        world.say(a_standing(two.id, one))
        await until(lambda: world.champion == two.id)


async def test_a_model_whose_chunks_are_gone_is_refused_with_a_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    one = await world.publish(1)
    manifest = (await world.shelf.look()).manifests[one]
    world.broker.write(removal_record(ROUTES, Removed(manifest.sha256, 1)))
    world.say(a_standing(one))
    with caplog.at_level(logging.ERROR):
        async with following(world):
            await until(lambda: world.tried_out("refused") == 1)
    assert "promote another model" in caplog.text
    assert world.tried == []


async def test_disabled_is_as_if_there_were_no_models_and_enabled_goes_on() -> None:
    world = World()
    one = await world.publish(1)
    world.say(a_standing(one, None, one))
    world.broker.write(law_record(ROUTES, PoolLaw("gpu", 1.0, 90.0, 500, 1)))
    async with following(world):
        await until(lambda: world.champion == one and world.watch.law("gpu") == (1.0, 90.0))
        world.say(a_standing(one, None, one, enabled=False))
        await until(lambda: world.champion is None)
        assert (world.shadow, world.watch.law("gpu")) == (None, None)
        assert world.watch.standing is not None
        two = await world.publish(2)
        world.say(a_standing(one, None, one, enabled=False, reason="still"))
        await until(lambda: (world.watch.standing or a_standing()).reason == "still")
        world.say(a_standing(one, None, one))
        await until(lambda: world.champion == one)
        await until(lambda: world.tried == [one, two])


async def test_a_champion_that_is_nobody_ends_the_one_before() -> None:
    world = World()
    one = await world.publish(1)
    world.say(a_standing(one))
    async with following(world):
        await until(lambda: world.champion == one)
        world.say(a_standing(None, one))
        await until(lambda: world.champion is None)


async def test_a_champion_nobody_knows_leaves_the_one_in_force() -> None:
    world = World()
    one = await world.publish(1)
    world.say(a_standing(one))
    async with following(world):
        await until(lambda: world.champion == one)
        world.say(a_standing("20990101-000000-00000000", one))
        await until(lambda: (world.watch.standing or a_standing()).champion != one)
        assert world.champion == one
        # Its manifest may come later.


async def test_reading_goes_on_while_a_model_is_tried_and_a_stop_ends_the_trial() -> None:
    world = World()
    world.may_end.clear()
    await world.publish(1)
    async with following(world):
        await until(lambda: len(world.tried) == 1)
        world.broker.write(law_record(ROUTES, PoolLaw("gpu", 1.0, 90.0, 500, 1)))
        await until(lambda: world.watch.law("gpu") is not None)


async def test_models_of_two_purposes_are_in_force_beside_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order = World()
    retry = World(order.broker, Purpose.RETRY)
    one, other = await order.publish(1), await retry.publish(2)
    with caplog.at_level(logging.INFO):
        async with following(order), following(retry):
            order.say(a_standing(one))
            retry.say(a_standing(other))
            await until(lambda: (order.champion, retry.champion) == (one, other))
            order.say(a_standing(one, enabled=False))
            await until(lambda: order.champion is None)
            assert retry.champion == other
            retry.say(a_standing(one))
            await until(lambda: (retry.watch.standing or a_standing()).champion == one)
            # What orders jobs times no retries.
            assert retry.champion == other
    assert (order.tried, retry.tried) == ([one], [other])
    assert f"jobs are ordered by {one}" in caplog.text
    assert f"retries are timed by {other}" in caplog.text
    labels = {"purpose": "retry", "role": "champion"}
    assert retry.meter.registry.get_sample_value("penstock_models_ready", labels) == 1


async def test_what_only_another_version_can_read_is_passed_over() -> None:
    world = World()
    one = await world.publish(1)
    other = manifest_record(ROUTES, a_manifest(b"y", 9))
    world.broker.write(other._replace(value=b'{"id": 7}'))
    world.broker.write(other._replace(key=b"something:else"))
    world.say(a_standing(one))
    async with following(world):
        await until(lambda: world.champion == one)


def test_following_models_does_not_load_xgboost() -> None:
    modules = "sys, ports.model_watch, ports.model_shelf, adapters.learned.heads"
    program = f"import {modules}; print('xgboost' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
