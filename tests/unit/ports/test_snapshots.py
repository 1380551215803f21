"""The snapshot store beside zombies, torn writes and other versions, on the log in memory."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from core.ledger.fold import FOLD_VERSION, LedgerFold, WrongEpochError
from core.ledger.image import LedgerImage
from core.ledger.snapshot import LAYOUT, chunks_of
from core.log import Appended, NewRecord, Record
from ports.snapshot_shelf import TornSnapshotError
from ports.snapshots import SnapshotStore
from schemas.codec import UnreadableRecordError, encode
from schemas.ledger import LedgerFolds
from schemas.snapshots import (
    SnapshotManifest,
    chunk_record,
    manifest_of,
    manifest_record,
    place_of,
)
from schemas.topics import RouteMap
from tests.support.verdicts import EPOCH, About

ROUTES = RouteMap(partitions=1)


class World:
    """A log in memory, and stores of several instances on it."""

    def __init__(self) -> None:
        ticks = itertools.count(1)
        self.broker = MemoryBroker(lambda: next(ticks))
        self.broker.create_topics(ROUTES.specs())
        self.store = self.another("one")

    def another(self, instance: str) -> SnapshotStore:
        appender, reader = MemoryAppender(self.broker), MemoryReader(self.broker)
        return SnapshotStore(ROUTES, EPOCH, appender, reader, instance)

    @property
    def records(self) -> list[Record]:
        return self.broker.records(ROUTES.snapshots)

    @property
    def live_keys(self) -> set[bytes]:
        """What compaction would leave."""
        last = {record.key or b"": record.value for record in self.records}
        return {key for key, value in last.items() if value is not None}

    def write(self, *records: NewRecord) -> None:
        for record in records:
            self.broker.write(record)

    def write_snapshot(self, image: LedgerImage, **changes: object) -> SnapshotManifest:
        """Write a whole snapshot past the store, with a manifest that says something else."""
        chunks = list(chunks_of(image))
        manifest = manifest_of(0, image, chunks, "by hand")
        self.write(*(chunk_record(ROUTES.snapshots, manifest, i, chunk) for i, chunk in enumerate(chunks)))
        self.write(manifest_record(ROUTES.snapshots, msgspec.structs.replace(manifest, **changes)))
        return manifest


def image_at(next_offset: int, epoch: str = EPOCH) -> LedgerImage:
    fold = LedgerFold(epoch)
    for offset in range(next_offset):
        job = About(f"{epoch}:0:{offset}", f"01890000-0000-7000-8000-{offset:012d}")
        fold.apply(offset, offset, job.claimed())
    return fold.image()


async def loaded_offset(store: SnapshotStore, at_most: int = 1000) -> int | None:
    fold = await store.load(0, at_most)
    return None if fold is None else fold.next_offset


async def test_a_zombies_older_snapshot_neither_replaces_nor_removes_a_newer_one() -> None:
    world, zombie = World(), None
    zombie = world.another("zombie")
    assert await zombie.newest(0) == 0
    for offset in (10, 20):
        await world.store.save(0, image_at(offset))
    before = world.live_keys

    assert await zombie.save(0, image_at(5)) is None
    world.write_snapshot(image_at(6))

    assert before < world.live_keys
    assert await loaded_offset(world.another("reader")) == 20


async def test_a_snapshot_that_is_as_new_as_another_is_not_written_again() -> None:
    world = World()
    await world.store.save(0, image_at(10))
    written = len(world.records)
    assert await world.another("two").save(0, image_at(10)) is None
    assert len(world.records) == written


async def test_two_writers_of_one_offset_do_not_mix_their_chunks() -> None:
    world, image = World(), image_at(3)
    other = LedgerFold.from_image(image_at(3))
    other.open = dict(reversed(other.open.items()))  # equal in meaning, other bytes
    world.write_snapshot(other.image())
    world.write_snapshot(image)
    assert len(world.live_keys) == 4
    assert await loaded_offset(world.store) == 3


async def test_a_missing_chunk_makes_the_reader_take_the_one_before() -> None:
    world = World()
    world.write_snapshot(image_at(10))
    manifest = world.write_snapshot(image_at(20))
    lost = chunk_record(ROUTES.snapshots, manifest, 0, b"")
    world.write(NewRecord(lost.topic, 0, lost.key, None))
    assert await loaded_offset(world.store) == 10


async def test_a_chunk_that_does_not_fit_its_hash_makes_the_reader_take_the_one_before() -> None:
    world = World()
    world.write_snapshot(image_at(10))
    manifest = world.write_snapshot(image_at(20))
    world.write(chunk_record(ROUTES.snapshots, manifest, 0, b"something else"))
    assert await loaded_offset(world.store) == 10


@pytest.mark.parametrize(
    "changes", [{"epoch": "another"}, {"layout": LAYOUT + 1}, {"fold_version": FOLD_VERSION + 1}]
)
async def test_snapshots_of_other_epochs_and_versions_are_passed_over_and_left_alone(
    changes: dict[str, object],
) -> None:
    world = World()
    foreign = world.write_snapshot(image_at(5), **changes)
    newer = world.write_snapshot(image_at(90), **changes)
    keys = {manifest_record(ROUTES.snapshots, manifest).key for manifest in (foreign, newer)}
    assert await loaded_offset(world.store) is None
    for offset in (10, 20, 30):
        assert await world.store.save(0, image_at(offset)) is not None
    assert await loaded_offset(world.another("reader")) == 30
    assert keys <= world.live_keys


async def test_a_manifest_in_an_unknown_form_is_passed_over_and_left_alone() -> None:
    world = World()
    manifest = world.write_snapshot(image_at(5))
    key = manifest_record(ROUTES.snapshots, manifest).key
    world.write(NewRecord(ROUTES.snapshots, 0, key, encode({"kind": "SNAPSHOT", "version": 9})))
    for offset in (10, 20, 30):
        await world.store.save(0, image_at(offset))
    assert key in world.live_keys
    assert await loaded_offset(world.store) == 30


async def test_torn_leftovers_go_with_the_snapshots_they_are_older_than() -> None:
    world = World()
    chunks = list(chunks_of(image_at(5)))
    torn = manifest_of(0, image_at(5), chunks, "died")
    world.write(chunk_record(ROUTES.snapshots, torn, 0, chunks[0]))
    leftover = world.live_keys
    await world.store.save(0, image_at(10))
    assert leftover <= world.live_keys, "with one whole snapshot nothing is removed"
    await world.store.save(0, image_at(20))
    assert not leftover & world.live_keys
    assert await loaded_offset(world.store, at_most=15) == 10


async def test_nothing_is_removed_when_the_new_snapshot_cannot_be_read_back() -> None:
    world = World()
    for offset in (10, 20):
        await world.store.save(0, image_at(offset))
    kept = world.live_keys

    class Losing(MemoryAppender):
        """Acknowledges chunks and loses them, as a log without fsync may."""

        @override
        async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
            return await super().append([r for r in records if r.headers != (("kind", b"CHUNK"),)])

    store = SnapshotStore(ROUTES, EPOCH, Losing(world.broker), MemoryReader(world.broker), "loses")
    with pytest.raises(TornSnapshotError):
        await store.save(0, image_at(30))

    assert kept < world.live_keys
    assert await loaded_offset(world.store) == 20


async def test_a_fold_that_has_begun_is_not_replaced() -> None:
    world, folds = World(), LedgerFolds(EPOCH, with_notes=False)
    await world.store.save(0, image_at(10))
    folds.fold(0).skip_to(3)
    assert await world.store.restore(folds, {0: 100}) == []
    assert folds.next_offset(0) == 3


async def test_a_fold_of_another_epoch_or_one_that_is_behind_is_not_adopted() -> None:
    folds = LedgerFolds(EPOCH, with_notes=False)
    with pytest.raises(WrongEpochError):
        folds.adopt(0, LedgerFold.from_image(image_at(3, "other")))
    assert folds.adopt(0, LedgerFold.from_image(image_at(3)))
    assert not folds.adopt(0, LedgerFold.from_image(image_at(2)))
    assert folds.next_offset(0) == 3


async def test_a_record_of_something_else_in_the_topic_is_named() -> None:
    world = World()
    world.write(NewRecord(ROUTES.snapshots, 0, b"hello", b"there"))
    with pytest.raises(UnreadableRecordError, match=r"ledger\.snapshots/0/0"):
        await world.store.load(0, 10)


def test_keys_of_one_partition_sort_by_offset() -> None:
    chunks = list(chunks_of(image_at(1)))
    keys = [
        chunk_record(ROUTES.snapshots, manifest_of(0, image_at(offset), chunks, "x"), 0, chunks[0]).key
        for offset in (9, 10, 100)
    ]
    assert keys == sorted(keys, key=lambda key: key or b"")
    record = Record(ROUTES.snapshots, 0, 0, 0, keys[1], None, ())
    assert place_of(record).snapshot.next_offset == 10


async def test_the_last_snapshot_of_every_step_is_kept_for_trimming() -> None:
    world = World()
    times = iter([10, 20, 30, 110, 120, 130, 310, 320, 330])
    now = next(times)
    world.broker.now_ms = lambda: now
    store = SnapshotStore(
        ROUTES, EPOCH, MemoryAppender(world.broker), MemoryReader(world.broker), "one", ledger_keep_ms=400
    )
    for offset in range(1, 10):
        await store.save(0, image_at(offset))
        now = next(times, now)
    assert [kept.manifest.next_offset for kept in await world.another("reader").whole(0)] == [3, 6, 8, 9]


async def test_one_that_cannot_be_read_is_passed_over_for_the_one_before() -> None:
    world = World()
    world.write_snapshot(image_at(10))
    chunks = list(chunks_of(image_at(20)))
    broken = manifest_of(0, image_at(20), [chunks[0][:-5]], "half")
    world.write(
        chunk_record(ROUTES.snapshots, broken, 0, chunks[0][:-5]), manifest_record(ROUTES.snapshots, broken)
    )
    assert await loaded_offset(world.store) == 10
