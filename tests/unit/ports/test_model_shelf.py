"""Publishing models and saying who orders, on the log in memory."""

from collections.abc import Sequence

import msgspec
import pytest
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.faults import LogUnavailableError
from adapters.memory.reader import MemoryReader
from core.log import Appended, NewRecord
from ports.failpoints import Failpoint, arm
from ports.model_shelf import Act, ModelShelf, NotPublishedError
from schemas.model_book import KEEP_BYTES, ModelBook
from schemas.models import (
    BrokenModelError,
    Chunk,
    ModelManifest,
    PoolLaw,
    Purpose,
    Removed,
    Standing,
    chunk_record,
    removal_record,
    standing_record,
)
from schemas.topics import RouteMap
from tests.support.models_under_test import a_manifest, a_standing, some_bytes

ROUTES = RouteMap()


class Meddling(MemoryAppender):
    """Lets something be appended right before a chosen append."""

    def __init__(self, broker: MemoryBroker, number: int, *meddled: NewRecord) -> None:
        super().__init__(broker)
        self._meddled = {number: meddled}
        self.broker = broker
        self.appends: list[Sequence[NewRecord]] = []

    @override
    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        for record in self._meddled.pop(len(self.appends), ()):
            self.broker.write(record)
        self.appends.append(records)
        return await super().append(records)


def a_broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: 1)
    broker.create_topics(ROUTES.specs())
    return broker


def a_shelf(
    broker: MemoryBroker,
    appender: MemoryAppender | None = None,
    purpose: Purpose = Purpose.ORDER,
) -> ModelShelf:
    return ModelShelf(MemoryReader(broker), appender or MemoryAppender(broker), ROUTES, purpose=purpose)


async def test_a_model_is_read_back_by_somebody_else_and_its_manifest_comes_last() -> None:
    broker, data = a_broker(), some_bytes(1)
    manifest, appender = a_manifest(data), Meddling(broker, -1)
    await a_shelf(broker, appender).publish(manifest, data)
    other = a_shelf(broker)
    book = await other.look()
    assert book.newest == manifest
    assert await other.bytes_of(manifest) == data
    kinds = [records[0].key or b"" for records in appender.appends if records]
    assert [key.split(b":")[0] for key in kinds] == [b"blob"] * 3 + [b"model"]


async def test_a_manifest_of_other_bytes_is_not_published() -> None:
    broker = a_broker()
    with pytest.raises(ValueError, match="speaks of other bytes"):
        await a_shelf(broker).publish(a_manifest(some_bytes(1)), some_bytes(2))
    assert (await a_shelf(broker).look()).next_offset == 0


async def test_a_manifest_that_would_not_be_read_again_is_not_published() -> None:
    broker, data = a_broker(), some_bytes(1)
    for changed in ({"metrics": {"failed_pr_auc": float("nan")}}, {"rows": -1}, {"judged": "\0"}):
        manifest = msgspec.structs.replace(a_manifest(data), **changed)
        with pytest.raises(ValueError, match="its metrics finite numbers"):
            await a_shelf(broker).publish(manifest, data)
    assert (await a_shelf(broker).look()).next_offset == 0


async def test_publishing_once_more_changes_nothing_and_one_cut_short_is_finished() -> None:
    broker, data = a_broker(), some_bytes(1)
    manifest = a_manifest(data)
    broker.faults.fail_next_append(written=1)
    with pytest.raises(LogUnavailableError):
        await a_shelf(broker).publish(manifest, data)
    assert (await a_shelf(broker).look()).manifests == {}
    for _ in range(2):
        await a_shelf(broker).publish(manifest, data)
    book = await a_shelf(broker).look()
    assert list(book.manifests) == [manifest.id]
    assert await a_shelf(broker).bytes_of(manifest) == data


async def test_a_chunk_that_somebody_removes_while_it_is_published_is_noticed() -> None:
    broker, data = a_broker(), some_bytes(1)
    manifest = a_manifest(data)
    meddling = Meddling(broker, 3, removal_record(ROUTES, Removed(manifest.sha256, 1)))
    with pytest.raises(NotPublishedError, match="publish it again"):
        await a_shelf(broker, meddling).publish(manifest, data)
    meddling = Meddling(broker, 3, chunk_record(ROUTES, Chunk(manifest.sha256, 1, b"other bytes")))
    with pytest.raises(NotPublishedError, match="publish it again"):
        await a_shelf(broker, meddling).publish(manifest, data)


async def test_a_manifest_that_does_not_read_back_is_said() -> None:
    broker, data = a_broker(), some_bytes(1)
    manifest = a_manifest(data)

    class Forgetful(MemoryAppender):
        @override
        async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
            kept = [one for one in records if not (one.key or b"").startswith(b"model:")]
            return await super().append(kept)

    with pytest.raises(NotPublishedError, match="publish it again"):
        await a_shelf(broker, Forgetful(broker)).publish(manifest, data)


async def test_bytes_of_old_models_go_and_those_in_use_stay() -> None:
    broker = a_broker()
    shelf = a_shelf(broker)
    manifests: list[ModelManifest] = []
    for minute in range(KEEP_BYTES + 3):
        data = some_bytes(minute, 1000)
        manifests.append(a_manifest(data, minute))
        await shelf.publish(manifests[-1], data)
        if minute == 1:
            await shelf.act(lambda _: a_standing(manifests[0].id))
    book = await a_shelf(broker).look()
    assert [book.has_bytes(manifest) for manifest in manifests] == [True, False, False] + [True] * KEEP_BYTES
    with pytest.raises(BrokenModelError, match="promote another model"):
        await shelf.bytes_of(manifests[1])
    assert await shelf.bytes_of(manifests[0]) == some_bytes(0, 1000)


def promote(one: str) -> Act:
    def decide(book: ModelBook) -> Standing:
        before = book.standing or a_standing()
        if before.champion == one:
            raise LookupError("already")
        return msgspec.structs.replace(before, champion=one, previous=before.champion)

    return decide


async def test_of_two_that_act_at_once_both_count() -> None:
    broker = a_broker()
    await a_shelf(broker).act(lambda _: a_standing("a"))
    disabled = standing_record(ROUTES, a_standing("a", enabled=False))
    meddling = Meddling(broker, 0, disabled)
    standing = await a_shelf(broker, meddling).act(promote("b"))
    assert (standing.champion, standing.previous, standing.enabled) == ("b", "a", False)
    assert (await a_shelf(broker).look()).standing == standing
    assert len(meddling.appends) == 2


async def test_an_act_that_what_came_between_forbids_leaves_that_as_it_stood() -> None:
    broker = a_broker()
    await a_shelf(broker).act(lambda _: a_standing("a"))
    between = a_standing("b", "a", enabled=False, by="bob")
    with pytest.raises(LookupError, match="already"):
        await a_shelf(broker, Meddling(broker, 0, standing_record(ROUTES, between))).act(promote("b"))
    assert (await a_shelf(broker).look()).standing == between


POINTS = (
    Failpoint.MODEL_CUT,
    Failpoint.MODEL_CHUNK_APPENDED,
    Failpoint.MODEL_MANIFEST_APPENDED,
    Failpoint.MODEL_READ_BACK,
    Failpoint.MODELS_REMOVED,
)


class KilledError(Exception):
    """Stands for a process that is gone: nothing it held goes on."""


@pytest.mark.parametrize("point", POINTS)
async def test_wherever_a_publisher_dies_the_next_one_ends_as_if_it_had_not(
    point: Failpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.model_book.KEEP_BYTES", 2)
    models = [(a_manifest(some_bytes(seed), seed), some_bytes(seed)) for seed in range(4)]
    broker = a_broker()
    for manifest, data in models[:3]:
        await a_shelf(broker).publish(manifest, data)

    def die() -> None:
        raise KilledError

    arm({point: die})
    try:
        with pytest.raises(KilledError):
            await a_shelf(broker).publish(*models[3])
    finally:
        arm({})
    for manifest in (await a_shelf(broker).look()).manifests.values():
        # Whoever reads meanwhile finds no model that is not whole, but for those that are let go of.
        assert manifest.id in {one.id for one, _ in models}
    await a_shelf(broker).publish(*models[3])
    book = await a_shelf(broker).look()
    assert [book.has_bytes(manifest) for manifest, _ in models] == [False, False, True, True]
    assert await a_shelf(broker).bytes_of(models[3][0]) == models[3][1]
    assert book.superseded(ROUTES) == []


async def test_laws_of_pools_are_told_and_replaced() -> None:
    broker = a_broker()
    shelf = a_shelf(broker)
    await shelf.tell_laws([PoolLaw("gpu", 1.0, 90.0, 500, 1), PoolLaw("cpu", 1.0, 9.0, 500, 1)])
    await shelf.tell_laws([PoolLaw("gpu", 2.0, 80.0, 700, 2)])
    laws = (await a_shelf(broker).look()).laws
    assert {pool: law.spread for pool, law in laws.items()} == {"gpu": (2.0, 80.0), "cpu": (1.0, 9.0)}


async def test_models_of_another_purpose_are_published_removed_and_put_in_force_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bytes for both, so that only the keys tell their chunks apart."""
    monkeypatch.setattr("schemas.model_book.KEEP_BYTES", 1)
    broker = a_broker()
    shelves = {purpose: a_shelf(broker, purpose=purpose) for purpose in Purpose}
    for purpose, shelf in shelves.items():
        for minute in range(2):
            await shelf.publish(a_manifest(some_bytes(minute), minute, purpose=purpose), some_bytes(minute))
    retry = a_manifest(some_bytes(2), 2, purpose=Purpose.RETRY)
    await shelves[Purpose.RETRY].publish(retry, some_bytes(2))
    await shelves[Purpose.ORDER].act(lambda _: a_standing("a"))
    await shelves[Purpose.RETRY].act(lambda _: a_standing("b", enabled=False))
    order = await a_shelf(broker).look()
    assert [order.has_bytes(order.manifests[one]) for one in sorted(order.manifests)] == [False, True]
    assert order.standing == a_standing("a")
    other = a_shelf(broker, purpose=Purpose.RETRY)
    book = await other.look()
    assert [book.has_bytes(book.manifests[one]) for one in sorted(book.manifests)] == [False, False, True]
    assert book.standing == a_standing("b", enabled=False)
    assert await other.bytes_of(retry) == some_bytes(2)


@pytest.mark.parametrize("purpose", Purpose)
async def test_a_model_of_another_purpose_is_not_published(purpose: Purpose) -> None:
    broker, data = a_broker(), some_bytes(1)
    other = next(one for one in Purpose if one is not purpose)
    with pytest.raises(ValueError, match=f"is for {other}, not for {purpose}"):
        await a_shelf(broker, purpose=purpose).publish(a_manifest(data, purpose=other), data)
    assert broker.records(ROUTES.models) == []


async def test_what_somebody_says_of_another_purpose_in_the_same_moment_changes_nothing() -> None:
    broker = a_broker()
    await a_shelf(broker).act(lambda _: a_standing("a"))
    disabled = standing_record(ROUTES, a_standing("r", enabled=False), Purpose.RETRY)
    meddling = Meddling(broker, 0, disabled)
    standing = await a_shelf(broker, meddling).act(promote("b"))
    assert (standing.champion, standing.enabled) == ("b", True)
    assert len(meddling.appends) == 1
