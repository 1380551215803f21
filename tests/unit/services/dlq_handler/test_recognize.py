"""Failures are named by what all dlq_handlers learned together, through crashes and at the same moment."""

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from core.log import Appended, Coordinate, NewRecord
from core.signatures.shape import shape_of
from ports.failpoints import Failpoint, arm
from schemas.topics import RouteMap
from services.dlq_handler.decide import Failure
from services.dlq_handler.recognize import Recognizer

ROUTES = RouteMap(partitions=1)
PLACE = Coordinate(ROUTES.dlq, 0, 1)
OTHER = Coordinate(ROUTES.dlq, 0, 2)


class CrashError(Exception):
    """The process is gone."""


class SlowAppender(MemoryAppender):
    """Waits before it appends until it is told to."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    @override
    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        self.asked.set()
        await self.go_on.wait()
        return await super().append(records)


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(lambda: 1)
    made.create_topics(ROUTES.specs())
    return made


def recognizer(broker: MemoryBroker, appender: MemoryAppender | None = None) -> Recognizer:
    return Recognizer(ROUTES, appender or MemoryAppender(broker), MemoryReader(broker))


def failure(message: str) -> Failure:
    return Failure(shape_of("transient", "ValueError", message, ""), "email")


async def test_what_is_new_is_learned_once_and_known_from_then_on(broker: MemoryBroker) -> None:
    one = recognizer(broker)
    first = await one.recognize({PLACE: failure("user 7 is gone"), OTHER: failure("user 8 is gone")})
    assert first[PLACE] == first[OTHER]
    assert len(broker.records(ROUTES.signatures)) == 1
    again = recognizer(broker)
    await again.start()
    assert await again.recognize({PLACE: failure("user 9 is gone")}) == {PLACE: first[PLACE]}
    assert len(broker.records(ROUTES.signatures)) == 1


async def test_nothing_failed_asks_for_nothing(broker: MemoryBroker) -> None:
    assert await recognizer(broker).recognize({}) == {}


async def test_one_that_knows_less_reads_what_others_learned_before_it_learns(broker: MemoryBroker) -> None:
    one, two = recognizer(broker), recognizer(broker)
    await two.start()
    told = await one.recognize({PLACE: failure("no such order")})
    assert await two.recognize({PLACE: failure("no such order")}) == told
    assert len(broker.records(ROUTES.signatures)) == 1


async def test_two_that_learn_at_the_same_moment_agree(broker: MemoryBroker) -> None:
    slow = SlowAppender(broker)
    late, soon = recognizer(broker, slow), recognizer(broker)
    waiting = asyncio.create_task(late.recognize({PLACE: failure("tenant acme has no orders")}))
    await slow.asked.wait()
    first = await soon.recognize({PLACE: failure("tenant globex has no orders")})
    slow.go_on.set()
    assert await waiting == first
    third = recognizer(broker)
    assert await third.recognize({PLACE: failure("tenant initech has no orders")}) == first
    assert len(broker.records(ROUTES.signatures)) == 2


@pytest.mark.parametrize(("point", "told"), [(Failpoint.SIGNATURES_DUE, 0), (Failpoint.SIGNATURES_TOLD, 1)])
async def test_a_crash_between_two_effects_changes_nothing(
    broker: MemoryBroker, point: Failpoint, told: int
) -> None:
    def crash() -> None:
        raise CrashError

    arm({point: crash})
    try:
        with pytest.raises(CrashError):
            await recognizer(broker).recognize({PLACE: failure("no such order")})
    finally:
        arm({})
    assert len(broker.records(ROUTES.signatures)) == told
    found = await recognizer(broker).recognize({PLACE: failure("no such order")})
    assert len(found) == len(broker.records(ROUTES.signatures)) == 1


async def test_records_of_another_version_teach_nothing(broker: MemoryBroker) -> None:
    whole = b'{"error_class":"lost","error_type":"","location":"","words":["no"],"task_type":"t"}'
    strange = [b"", b"{}", whole.replace(b"lost", b"odd"), whole.replace(b"no", b"<*>")]
    strange += [
        whole.replace(b"no", b"x" * 200),
        whole.replace(b'"no"', b'"\\u0000"'),
        whole.replace(b'"t"', b"1"),
    ]
    for value in strange:
        broker.write(NewRecord(ROUTES.signatures, 0, None, value, ()))
    found = await recognizer(broker).recognize({PLACE: failure("no such order")})
    assert len(found) == 1
    assert len(broker.records(ROUTES.signatures)) == len(strange) + 1
