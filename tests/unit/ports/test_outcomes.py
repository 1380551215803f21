"""Reporting outcomes: once a second, without ever holding up or failing who collects them."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.events import DID_NOT_RUN, Ended, Status, Submitted
from core.log import Appended, NewRecord
from ports import outcomes
from ports.outcomes import ATTEMPTS, TICK_MS, OutcomeReporter
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_outcome
from schemas.topics import RouteMap
from tests.support.outcomes import told

ROUTES = RouteMap(partitions=2)
JOB = AcceptedJob("e:0:7", "id", "t", "acme", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", "")


class Clock:
    now_ms = 5_000


def reporter_on(broker: MemoryBroker, clock: Clock, meter: PrometheusMeter | None = None) -> OutcomeReporter:
    return OutcomeReporter(
        ROUTES, MemoryAppender(broker), meter or PrometheusMeter(), lambda: clock.now_ms, source="executor-0"
    )


def a_broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: 5_000)
    broker.create_topics(ROUTES.specs())
    return broker


def dropped(meter: PrometheusMeter) -> float:
    return meter.registry.get_sample_value("penstock_outcomes_dropped_total") or 0.0


async def test_a_second_is_told_with_the_time_a_dispatch_first_became_ready() -> None:
    broker, clock = a_broker(), Clock()
    reporter = reporter_on(broker, clock)
    reporter.submitted(JOB, 4_000)
    queued = msgspec.structs.replace(JOB, ready_ms=4_000)
    reporter.submitted(queued, 4_900)
    reporter.ended(queued, Status.FAILED, 250)
    reporter.ended(msgspec.structs.replace(queued, n=2), Status.EXPIRED)
    await reporter.report()
    events = {report.event for report in told(broker.records(ROUTES.outcomes))}
    assert events == {
        Submitted(4_000, "e:0:7", 1, 2),
        Ended(5_000, "e:0:7", 1, 250, Status.FAILED, 4_000),
        Ended(5_000, "e:0:7", 2, DID_NOT_RUN, Status.EXPIRED, 4_000),
    }


async def test_what_was_told_is_followed_by_the_time_until_it_is_closed_and_then_by_nothing() -> None:
    broker, clock = a_broker(), Clock()
    reporter = reporter_on(broker, clock)
    await reporter.report()
    assert broker.records(ROUTES.outcomes) == []
    reporter.ended(JOB, Status.OK, 1)
    for clock.now_ms in range(5_000, 5_000 + 3 * TICK_MS, 1_000):
        await reporter.report()
    ends = [decode_outcome(record).end_ms for record in broker.records(ROUTES.outcomes)]
    assert max(ends) == 5_000 + TICK_MS - 1_000
    assert len(told(broker.records(ROUTES.outcomes))) == 1


async def test_an_append_that_fails_is_repeated_within_bounds_and_then_dropped_and_counted() -> None:
    broker, meter = a_broker(), PrometheusMeter()

    class Failing(MemoryAppender):
        failures = ATTEMPTS - 1

        @override
        async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
            if self.failures:
                self.failures -= 1
                raise OSError("no")
            return await super().append(records)

    appender = Failing(broker)
    reporter = OutcomeReporter(ROUTES, appender, meter, lambda: 5_000, source="executor-0")
    reporter.ended(JOB, Status.OK, 1)
    await reporter.report()
    assert (len(told(broker.records(ROUTES.outcomes))), dropped(meter)) == (1, 0)
    appender.failures = ATTEMPTS
    reporter.ended(msgspec.structs.replace(JOB, n=2), Status.OK, 1)
    await reporter.report()
    assert (len(told(broker.records(ROUTES.outcomes))), dropped(meter)) == (1, 1)


async def test_while_the_broker_is_away_a_bounded_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "KEPT_MAX", 3)
    meter = PrometheusMeter()
    reporter = reporter_on(a_broker(), Clock(), meter)
    for n in range(1, 6):
        reporter.ended(msgspec.structs.replace(JOB, n=n), Status.OK, 1)
    assert dropped(meter) == 2


async def test_what_was_collected_is_told_when_the_service_stops() -> None:
    broker, stopped = a_broker(), asyncio.Event()
    reporter = reporter_on(broker, Clock())
    running = asyncio.create_task(reporter.run(stopped))
    await asyncio.sleep(0)
    reporter.ended(JOB, Status.OK, 1)
    stopped.set()
    await asyncio.wait_for(running, 1.0)
    assert len(told(broker.records(ROUTES.outcomes))) == 1
