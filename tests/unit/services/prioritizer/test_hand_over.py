"""Which way a ready job goes, and that none can hold up the rest."""

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.telemetry.prometheus import PrometheusMeter
from core.ledger.notes import Queued
from core.ledger.verdicts import Preempted, Refused
from core.log import Record
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, decode_event, decode_failed, decode_queued, encode
from schemas.standing_orders import StandingOrders
from schemas.topics import JOB_MAX_BYTES, RouteMap
from services.prioritizer.hand_over import HandOver
from tests.support.outcomes import unheard
from tests.support.scoring import rule_alone, standard_law

ROUTES = RouteMap(partitions=1, pools=("default",))


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: 5)
    broker.create_topics(ROUTES.specs())
    return broker


@pytest.fixture
def hand_over(broker: MemoryBroker) -> HandOver:
    return HandOver(
        ROUTES,
        MemoryAppender(broker),
        PrometheusMeter(),
        lambda: 5,
        rule_alone(PrometheusMeter()),
        standard_law,
        StandingOrders(),
        outcomes=unheard(ROUTES),
    )


def ready(offset: int, pool: str) -> Record:
    job = AcceptedJob(
        origin=f"e:0:{offset}",
        job_id=f"01234567-89ab-7def-8123-4567{offset:08d}",
        type="email.send",
        tenant="default",
        pool=pool,
        payload=msgspec.Raw(b"{}"),
        priority=5,
        submitted_ms=1,
        timeout_s=300,
        max_attempts=5,
        body_hash="0" * 16,
        trace_id="0" * 32,
    )
    return Record(ROUTES.ready, 0, offset, 1, None, encode(job), ())


async def test_a_job_of_a_pool_that_was_taken_away_is_refused_and_holds_up_nothing(
    broker: MemoryBroker, hand_over: HandOver
) -> None:
    await hand_over.work([ready(0, "gone"), ready(1, "default")])

    refused, queued = (decode_event(record) for record in broker.records(ROUTES.ledger))
    assert isinstance(refused, Refused)
    assert refused.origin == "e:0:0"
    assert "gone" in refused.reason
    assert isinstance(queued, Queued)
    [dispatch] = [record for topic in ROUTES.executions("default") for record in broker.records(topic)]
    assert decode_queued(dispatch).job.origin == "e:0:1"


async def test_a_later_dispatch_that_no_topic_takes_is_diverted_with_its_reason_first(
    broker: MemoryBroker, hand_over: HandOver
) -> None:
    second = ready(0, "gone")
    job = msgspec.structs.replace(decode_accepted(second), n=2)

    await hand_over.work([second._replace(value=encode(job)), ready(1, "default")])

    [reason] = broker.records(ROUTES.dlq)
    attempt = decode_failed(reason)
    assert (attempt.error_class, attempt.error_type, attempt.job.n) == ("permanent", "NeverQueued", 2)
    verdicts = [decode_event(record) for record in broker.records(ROUTES.ledger)]
    [diverted] = [verdict for verdict in verdicts if isinstance(verdict, Preempted)]
    assert (diverted.origin, diverted.n, diverted.dlq_offset) == ("e:0:0", 2, reason.offset)


async def test_a_job_too_large_for_its_execution_topic_is_refused_and_holds_up_nothing(
    broker: MemoryBroker, hand_over: HandOver
) -> None:
    first = ready(0, "default")
    large = msgspec.structs.replace(decode_accepted(first), payload=msgspec.Raw(encode("x" * JOB_MAX_BYTES)))

    await hand_over.work([first._replace(value=encode(large)), ready(1, "default")])

    refused, queued = (decode_event(record) for record in broker.records(ROUTES.ledger))
    assert isinstance(refused, Refused)
    assert str(JOB_MAX_BYTES) in refused.reason
    assert isinstance(queued, Queued)
