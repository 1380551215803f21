"""What is bent in Faust: the fold has its own position, and nothing is let go of before it is kept."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from typing_extensions import override

from adapters.streams.faust_fold import STILL_TURNS, FaustFold
from core.log import Record
from penstock.connection import KafkaConnection


class Changes(NamedTuple):
    puts: list[tuple[bytes, bytes]]
    removed: list[bytes]


class Counting:
    """Folds offsets into a list."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.folded: list[int] = []

    def restore(self, partitions: Mapping[int, int], table: Mapping[bytes, bytes]) -> None:
        self.next = dict(partitions)

    def next_offset(self, partition: int) -> int | None:
        return self.next.get(partition)

    def skip_to(self, partition: int, offset: int) -> None:
        self.next[partition] = offset

    def take(self, record: Record) -> Changes:
        self.folded.append(record.offset)
        self.next[record.partition] = record.offset + 1
        return Changes([(b"key", b"%d" % record.offset)], [])


class Table(dict[bytes, bytes]):
    """A table whose changelog answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[asyncio.Future[None]] = []
        self.sent: list[asyncio.Future[None]] = []

    @override
    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.append(sent)
        self.kept.append(sent)


class Message(SimpleNamespace):
    """A record as Faust gives it."""

    def __init__(self, offset: int, acknowledged: list[int]) -> None:
        super().__init__(topic="told", partition=0, offset=offset, timestamp=1.5, key=None, value=b"v")
        self._acknowledged = acknowledged

    def ack(self, _consumer: object) -> None:
        self._acknowledged.append(self.offset)


class Consumer:
    """Knows where the log begins and ends, and notes where it is sent."""

    def __init__(self) -> None:
        self.oldest, self.end = 0, 9
        self.sought: list[int] = []

    def assignment(self) -> set[Any]:
        return {_Place("told", 0), _Place("kept", 0)}

    def highwater(self, _place: object) -> int:
        return self.end

    async def earliest_offsets(self, *places: Any) -> dict[Any, int]:
        return dict.fromkeys(places, self.oldest)

    async def seek(self, _place: object, offset: int) -> None:
        self.sought.append(offset)


class _Place(NamedTuple):
    topic: str
    partition: int


class Rig:
    def __init__(self) -> None:
        self.fold, self.consumer = Counting(), Consumer()
        self.table: Any = Table()
        self.acknowledged: list[int] = []
        self.stream: Any = FaustFold(
            KafkaConnection(),
            self.fold,
            group="g",
            instance="i",
            source="told",
            changelog="kept",
            partitions=1,
            home=lambda _key: 0,
            session_timeout_s=10.0,
        )
        self.app = SimpleNamespace(rebalancing=False, rebalancing_count=1, consumer=self.consumer)
        vars(self.stream).update(_app=self.app, _table=self.table)

    async def give(self, *offsets: int) -> None:
        for offset in offsets:
            await self.stream._take(Message(offset, self.acknowledged))


@pytest.fixture
async def rig() -> Rig:
    rig = Rig()
    await rig.stream._restore()
    return rig


async def test_a_record_is_acknowledged_when_the_changelog_has_what_it_changed(rig: Rig) -> None:
    await rig.give(0, 1)
    assert (rig.fold.folded, rig.acknowledged) == ([0, 1], [])
    rig.table.sent[0].set_result(None)
    await rig.give(2)
    assert rig.acknowledged == [0]


async def test_what_the_changelog_could_not_take_ends_the_fold(rig: Rig) -> None:
    await rig.give(0)
    rig.table.sent[0].set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await rig.give(1)
    assert rig.acknowledged == []


async def test_repeats_are_passed_over_and_what_is_ahead_of_its_turn_is_left(rig: Rig) -> None:
    await rig.give(0, 1, 0, 1, 5)
    assert rig.fold.folded == [0, 1]


async def test_records_that_faust_lost_on_their_way_are_asked_for_until_they_come(rig: Rig) -> None:
    await rig.give(0)
    for _ in range(2 * (STILL_TURNS + 1) + 1):
        await rig.stream._fetch_missing()
    assert rig.consumer.sought == [1, 1]
    await rig.give(1, 2)
    rig.consumer.end = 3
    for _ in range(2 * STILL_TURNS):
        await rig.stream._fetch_missing()
    assert (rig.fold.folded, rig.consumer.sought) == ([0, 1, 2], [1, 1])


async def test_records_that_are_trimmed_are_not_waited_for(rig: Rig) -> None:
    await rig.give(0)
    rig.consumer.oldest = 6
    for _ in range(STILL_TURNS + 1):
        await rig.stream._fetch_missing()
    assert rig.consumer.sought == [6]
    await rig.give(6)
    assert rig.fold.folded == [0, 6]


async def test_nothing_is_folded_until_what_was_kept_is_restored(rig: Rig) -> None:
    rig.app.rebalancing_count = 2
    giving = asyncio.create_task(rig.give(0))
    await asyncio.sleep(0.1)
    assert rig.fold.folded == []
    await rig.stream._restore()
    await asyncio.wait_for(giving, 1.0)
    assert rig.fold.folded == [0]
