"""Gets past records that aiokafka cannot parse.

Kafka says header names are UTF-8, and no broker checks it. aiokafka 0.14 raises from inside
``getmany`` on a name that is not, forgets what it had drained from other partitions in that call,
and raises again for ever: one foreign record would stop a partition of ``jobs``.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition as AioTopicPartition

from adapters.kafka.reader import record_of
from core.log import UNREADABLE_HEADER, Record, TopicPartition

_PROBE_TIMEOUT_MS = 2_000
PROBE_MAX_RECORDS = 500
"""Most records read one by one from a partition in one call, whatever waits behind them."""


async def read_around(consumer: Any, delivered: Mapping[TopicPartition, int]) -> list[Record]:
    """Read again from ``delivered`` one record at a time; stand in for the one that cannot be parsed.

    Gives the readable records before it, and a stand-in at its offset (no key, no value, the reason
    in ``UNREADABLE_HEADER``). The consumer goes on after what is given; every other partition goes
    on from ``delivered``.
    """
    records: list[Record] = []
    for partition, position in delivered.items():
        consumer.seek(AioTopicPartition(*partition), position)
    for partition, position in delivered.items():
        found = await _probe(consumer, partition, position)
        records.extend(found)
        if found and found[-1].header(UNREADABLE_HEADER) is not None:
            break
    return records


async def _probe(consumer: Any, partition: TopicPartition, position: int) -> list[Record]:
    """Read one partition up to its end, to an unreadable record, or as far as one call may go."""
    aio = AioTopicPartition(*partition)
    records: list[Record] = []
    end = (await consumer.end_offsets([aio]))[aio]
    while position < end and len(records) < PROBE_MAX_RECORDS:
        try:
            fetched = await consumer.getmany(aio, timeout_ms=_PROBE_TIMEOUT_MS, max_records=1)
        except UnicodeDecodeError as error:
            reason = f"a header name is not UTF-8: {error.object!r}".encode()[:500]
            records.append(Record(*partition, position, 0, None, None, ((UNREADABLE_HEADER, reason),)))
            consumer.seek(aio, position + 1)
            return records
        batch = fetched.get(aio)
        if not batch:
            break
        raw = batch[0]
        records.append(record_of(raw))
        position = raw.offset + 1
    return records
