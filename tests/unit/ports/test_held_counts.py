"""What is held is counted from the log, from wherever the marks or the last count stand."""

import msgspec

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from core.held import HeldFold
from core.subjects import Cause, HeldFor, Scope, Subject
from ports.held_counts import HeldCounts
from ports.held_marks import HeldMarkLog
from schemas.accepted_job import AcceptedJob
from schemas.held import HandedOn, fold_held, handed_on_record, held_record
from schemas.topics import RouteMap

ROUTES = RouteMap(partitions=1, pools=("default",))
JOB = AcceptedJob(
    *("e:0:7", "00000000-0000-4000-8000-000000000001", "mail", "acme", "default", msgspec.Raw(b"{}")),
    *(5, 0, 10.0, 3, "0" * 16, "0" * 32),
)
MAIL = HeldFor(Cause.LIMIT, Subject(Scope.TYPE, "mail"))
OTHER = HeldFor(Cause.PAUSE, Subject(Scope.TYPE, "mail"))


async def test_what_was_held_and_handed_on_is_counted_again_and_again() -> None:
    broker = MemoryBroker(lambda: 1)
    broker.create_topics(ROUTES.specs())
    marks = HeldMarkLog(ROUTES, "e", MemoryReader(broker))
    counts = HeldCounts(ROUTES, marks, MemoryReader(broker))
    assert await counts.of(str(MAIL)) == 0
    for held_for in (MAIL, OTHER, MAIL):
        broker.write(held_record(ROUTES, JOB, held_for))
    assert await counts.of(str(MAIL)) == 2
    broker.write(handed_on_record(ROUTES, 0, HandedOn(str(MAIL), 1, 1)))
    assert await counts.of(str(MAIL)) == 1
    assert await counts.of(str(OTHER)) == 1

    fold = HeldFold()
    for record in broker.records(ROUTES.held):
        fold_held(fold, record)
    await marks.tell(MemoryAppender(broker), 0, fold)
    begun = HeldCounts(ROUTES, marks, MemoryReader(broker))
    broker.write(held_record(ROUTES, JOB, MAIL))
    assert await begun.of(str(MAIL)) == 2
