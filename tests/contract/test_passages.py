"""Who passed the gates, on the log in memory and on the real one: told, learnt, found."""

import pytest
import pytest_asyncio

from core.gates.id_gate import GateGapError, IdGate, Submission
from core.log import NewRecord
from penstock.identity import job_id_from_key
from ports.passages import PassageLog
from schemas.codec import UnreadableRecordError
from schemas.passages import Stretch, stretch_record
from schemas.topics import RouteMap
from tests.support.logs_under_test import LogUnderTest

EPOCH, WINDOW_MS, PARTITION = "e", 100, 1


@pytest_asyncio.fixture
async def routes(log: LogUnderTest) -> RouteMap:
    routes = RouteMap(partitions=2, prefix=log.prefix)
    await log.create(routes.known, partitions=2)
    return routes


def submission(number: int, key: str | None = None) -> Submission:
    key = key or f"key{number}"
    return Submission(job_id_from_key("t", key), f"{EPOCH}:0:{number}", number, "00" * 8, "t", key)


def a_gate(count: int) -> IdGate:
    """Give a gate that folded so many records; every third repeats the first."""
    gate = IdGate(EPOCH, WINDOW_MS)
    for number in range(count):
        gate.ask(number, submission(number, "key0" if number % 3 == 0 else None))
    return gate


async def test_what_is_told_teaches_a_gate_of_somebody_else(log: LogUnderTest, routes: RouteMap) -> None:
    mine = PassageLog(routes, EPOCH, await log.reader())
    other = PassageLog(routes, EPOCH, await log.reader())
    appender, gate = await log.appender(), a_gate(50)
    assert await mine.told(PARTITION) == 0
    await mine.tell(appender, PARTITION, gate, 20)
    assert await other.told(PARTITION) == 20
    learner = IdGate(EPOCH, WINDOW_MS)
    await other.teach(PARTITION, learner)
    assert (learner.next_offset, learner.told) == (20, 20)
    await mine.tell(appender, PARTITION, gate, 50)
    await other.teach(PARTITION, learner)
    assert learner.next_offset == 50
    again = [submission(number + 100, f"key{number}") for number in range(60)]
    asked = [(50 + place, item) for place, item in enumerate(again)]
    assert [learner.ask(*one) for one in asked] == [gate.ask(*one) for one in asked]


async def test_a_stretch_that_begins_too_far_on_stops_the_gate(log: LogUnderTest, routes: RouteMap) -> None:
    passages, appender = PassageLog(routes, EPOCH, await log.reader()), await log.appender()
    await appender.append([stretch_record(routes, PARTITION, Stretch(EPOCH, 5, 9, []))])
    with pytest.raises(GateGapError, match="jump from offset 0 to 5"):
        await passages.teach(PARTITION, IdGate(EPOCH, WINDOW_MS))


async def test_what_another_epoch_told_counts_for_nothing(log: LogUnderTest, routes: RouteMap) -> None:
    passages, appender = PassageLog(routes, EPOCH, await log.reader()), await log.appender()
    await appender.append([stretch_record(routes, PARTITION, Stretch("older", 0, 9, []))])
    gate = IdGate(EPOCH, WINDOW_MS)
    await passages.teach(PARTITION, gate)
    assert gate.next_offset == 0
    assert await passages.told(PARTITION) == 0


async def test_a_record_of_something_else_is_named(log: LogUnderTest, routes: RouteMap) -> None:
    passages, appender = PassageLog(routes, EPOCH, await log.reader()), await log.appender()
    await appender.append([NewRecord(routes.known, PARTITION, b"hello", b"there")])
    with pytest.raises(UnreadableRecordError, match=r"gates\.known/1/0"):
        await passages.teach(PARTITION, IdGate(EPOCH, WINDOW_MS))
