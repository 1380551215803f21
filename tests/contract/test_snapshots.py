"""Snapshots on the log in memory and on the real one: written, read back, found, replaced."""

import random

import pytest
import pytest_asyncio

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Failed
from core.log import NewRecord, TopicPartition
from ports.snapshots import LedgerTrimmedError, SnapshotStore
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from tests.contract.reading import read
from tests.support.logs_under_test import LogUnderTest
from tests.support.verdicts import EPOCH, About

PARTITION = 1


@pytest_asyncio.fixture
async def routes(log: LogUnderTest) -> RouteMap:
    routes = RouteMap(partitions=2, prefix=log.prefix)
    await log.create(routes.snapshots, routes.ledger, partitions=2)
    return routes


async def a_store(log: LogUnderTest, routes: RouteMap, instance: str = "one") -> SnapshotStore:
    return SnapshotStore(routes, EPOCH, await log.appender(), await log.reader(), instance)


def a_fold(jobs: int, text_bytes: int = 10) -> LedgerFold:
    """Give a fold that ends at offset ``2 * jobs`` with that many open jobs."""
    fold, draw = LedgerFold(EPOCH), random.Random(jobs)
    for number in range(jobs):
        job = About(f"{EPOCH}:0:{number}", f"01890000-0000-7000-8000-{number:012d}")
        fold.apply(2 * number, number, job.claimed())
        text = draw.randbytes(text_bytes).hex()
        failed = Failed(job.origin, job.job_id, 1, "a", 1, 0.5, "transient", "ValueError", text, 3)
        fold.apply(2 * number + 1, number, failed)
    return fold


async def test_a_snapshot_of_several_chunks_is_restored_by_somebody_else(
    log: LogUnderTest, routes: RouteMap
) -> None:
    fold = a_fold(700, text_bytes=1_500)
    manifest = await (await a_store(log, routes)).save(PARTITION, fold.image())
    assert manifest is not None
    assert manifest.chunks > 1

    folds = LedgerFolds(EPOCH, with_notes=False)
    other = await a_store(log, routes, "two")
    restored = await other.restore(folds, {0: fold.next_offset, PARTITION: fold.next_offset})

    assert restored == [PARTITION]
    assert folds.next_offset(0) == 0
    assert folds.fold(PARTITION).image() == fold.image()


async def test_the_newest_snapshot_is_found_and_two_are_kept(log: LogUnderTest, routes: RouteMap) -> None:
    store = SnapshotStore(routes, EPOCH, await log.appender(), await log.reader(), "one", ledger_keep_ms=0)
    folds = [a_fold(jobs) for jobs in (1, 2, 3)]
    for fold in folds:
        assert await store.save(PARTITION, fold.image()) is not None

    other = await a_store(log, routes, "two")
    assert await other.newest(PARTITION) == folds[2].next_offset
    newest = await other.load(PARTITION, folds[2].next_offset)
    second = await other.load(PARTITION, folds[2].next_offset - 1)
    oldest = await other.load(PARTITION, folds[1].next_offset - 1)

    assert newest is not None
    assert newest.image() == folds[2].image()
    assert second is not None
    assert second.image() == folds[1].image()
    assert oldest is None, "it was removed when the third had been read back"


async def test_the_snapshot_at_the_start_of_a_trimmed_ledger_is_kept_and_begins_a_fold(
    log: LogUnderTest, routes: RouteMap
) -> None:
    folds = [a_fold(jobs) for jobs in (1, 2, 3, 4)]
    appender = await log.appender()
    await appender.append([NewRecord(routes.ledger, PARTITION, None, b"x")] * folds[-1].next_offset)
    store = SnapshotStore(routes, EPOCH, appender, await log.reader(), "one", ledger_keep_ms=0)
    for fold in folds[:2]:
        await store.save(PARTITION, fold.image())
    await log.trim(TopicPartition(routes.ledger, PARTITION), folds[0].next_offset)
    for fold in folds[2:]:
        await store.save(PARTITION, fold.image())

    other = await a_store(log, routes, "two")
    assert [kept.manifest.next_offset for kept in await other.whole(PARTITION)] == [
        folds[0].next_offset,
        folds[2].next_offset,
        folds[3].next_offset,
    ]
    start = await other.log_start(PARTITION)
    assert start == folds[0].next_offset
    first = await other.load_first(PARTITION, start)
    assert first is not None
    assert first.image() == folds[0].image()


async def test_who_must_begin_before_a_trimmed_ledger_is_stopped_with_the_remedy(
    log: LogUnderTest, routes: RouteMap
) -> None:
    appender = await log.appender()
    await appender.append([NewRecord(routes.ledger, PARTITION, None, b"x")] * 10)
    await log.trim(TopicPartition(routes.ledger, PARTITION), 4)
    store = await a_store(log, routes)
    await store.save(PARTITION, a_fold(3).image())
    for position in (0, 2, 5):
        with pytest.raises(LedgerTrimmedError, match=r"begins at offset 4.*`penstock rebuild`"):
            await store.restore(LedgerFolds(EPOCH, with_notes=False), {PARTITION: position})
    assert await store.restore(LedgerFolds(EPOCH, with_notes=False), {0: 0, PARTITION: 6}) == [PARTITION]


async def test_an_empty_topic_has_no_snapshot_and_the_reader_can_be_asked_again(
    log: LogUnderTest, routes: RouteMap
) -> None:
    store = await a_store(log, routes)
    assert await store.load(PARTITION, 100) is None
    assert await store.newest(PARTITION) == 0
    assert await store.save(PARTITION, a_fold(1).image()) is not None
    assert await store.load(PARTITION, 100) is not None


async def test_a_snapshot_without_its_manifest_is_passed_over(log: LogUnderTest, routes: RouteMap) -> None:
    store = await a_store(log, routes)
    await store.save(PARTITION, a_fold(1).image())
    await store.save(PARTITION, a_fold(2).image())
    reader, appender = await log.reader(), await log.appender()
    topic = TopicPartition(routes.snapshots, PARTITION)
    await reader.assign({topic: 0})
    records = await read(reader, 4)
    await appender.append([NewRecord(routes.snapshots, PARTITION, records[3].key, None)])

    restored = await (await a_store(log, routes, "two")).load(PARTITION, 100)

    assert restored is not None
    assert restored.image() == a_fold(1).image()
