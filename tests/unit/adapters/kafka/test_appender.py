"""What the appender does when aiokafka would give a batch up; no broker needed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError

from adapters.kafka.appender import KafkaAppender
from adapters.kafka.clock import BrokerClock
from core.log import NewRecord, TopicPartition
from penstock.connection import KafkaConnection

RECORD = NewRecord("t", 0, b"k", b"v")


class Acknowledged:
    offset = 7
    timestamp = 1_790_000_000_000


@pytest.fixture
async def appender() -> AsyncIterator[KafkaAppender]:
    made = KafkaAppender(KafkaConnection(), BrokerClock(), client_id="test")
    yield made
    producer: Any = made._producer
    # Never started: there is nothing to stop, but aiokafka complains of what is not closed.
    producer._closed = True


async def test_a_batch_is_kept_however_long_its_partition_has_no_leader(appender: KafkaAppender) -> None:
    """After a broker's restart leaders are unknown for a moment, and batches are an outage old."""
    producer: Any = appender._producer
    accumulator = producer._message_accumulator
    batch = accumulator._append_batch(producer.create_batch(), TopicPartition("t", 0))
    batch._ctime -= 3600.0

    nodes, without_leader = accumulator.drain_by_nodes(ignore_nodes=[])

    assert (dict(nodes), without_leader) == ({}, True)
    assert not batch.future.done()


async def test_a_topic_first_written_to_while_the_broker_is_away_waits_for_it(
    appender: KafkaAppender,
) -> None:
    producer: Any = appender._producer
    refusals: list[Exception] = [KafkaTimeoutError(), UnknownTopicOrPartitionError()]

    async def send_batch(*_: object, **__: object) -> asyncio.Future[Acknowledged]:
        if refusals:
            raise refusals.pop(0)
        answer: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        answer.set_result(Acknowledged())
        return answer

    producer.send_batch = send_batch

    [place] = await appender.append([RECORD])

    assert (place.offset, refusals) == (7, [])
