"""Ingest against a real broker: whatever foreign clients send ends as a job or in ``jobs.rejected``."""

import asyncio
import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer

from adapters.kafka.admin import create_topics, ensure_epoch
from penstock.identity import Origin, job_id_from_origin
from schemas.codec import decode_accepted
from tests.support.pipeline import Pipeline, pipeline
from tests.support.servers import Servers

JOB = json.dumps({"type": "email.send", "payload": {"to": "x"}}).encode()


@pytest.fixture
def mine(servers: Servers, topic_prefix: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    with pipeline(servers, topic_prefix, tmp_path) as prepared:
        yield prepared


def produce(mine: Pipeline, values: list[bytes | None], **options: Any) -> None:
    producer = Producer({"bootstrap.servers": mine.servers.kafka_bootstrap, **options})
    for index, value in enumerate(values):
        producer.produce(mine.routes.jobs, value=value, partition=index % mine.routes.partitions)
    assert producer.flush(30) == 0


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_record_of_a_foreign_client_becomes_a_job_whatever_its_compression(
    mine: Pipeline, codec: str
) -> None:
    with mine.running("ingest"):
        produce(mine, [JOB] * 20, **{"compression.type": codec})
        ready = mine.wait_for(mine.routes.ready, 20)
    by_origin = {str(decode_accepted(record).origin): record for record in ready}
    sent = {(r.partition, r.offset): r for r in mine.read(mine.routes.jobs)}
    for (partition, offset), record in sent.items():
        origin = Origin(mine.epoch.epoch, partition, offset)
        accepted = decode_accepted(by_origin[str(origin)])
        assert accepted.job_id == job_id_from_origin(origin, record.timestamp_ms)
        assert json.loads(bytes(accepted.payload)) == {"to": "x"}


def malformed(count: int, seed: int) -> list[bytes | None]:
    """Records none of which is a job: bytes, cut, nested, duplicated, mistyped, unknown, null."""
    dice = random.Random(seed)
    kinds: list[Callable[[], bytes | None]] = [
        lambda: dice.randbytes(dice.randint(1, 200)),
        lambda: JOB[: dice.randint(1, len(JOB) - 1)],
        lambda: b"[" * dice.randint(1000, 100_000),
        lambda: b'{"type":"a","type":"b"}',
        lambda: b'{"type":"a","payload":NaN}',
        lambda: b'{"type":"a","timeout_s":"soon"}',
        lambda: json.dumps({"type": "a", f"x{dice.random()}": 1}).encode(),
        lambda: json.dumps({"type": "Not A Type"}).encode(),
        lambda: json.dumps({"type": "a", "depends_on": [str(uuid.UUID(int=7))]}).encode(),
        lambda: b'{"type":"a","payload":"\xff"}',
        lambda: json.dumps({"type": "a", "pool": "nowhere"}).encode(),
        lambda: b'{"type":"a","payload":"' + b"x" * 270_000 + b'"}',
        lambda: None,
    ]
    return [dice.choice(kinds)() for _ in range(count)]


def test_a_thousand_malformed_records_are_all_rejected_with_reasons_and_nothing_stalls(
    mine: Pipeline,
) -> None:
    values = malformed(1000, seed=11)
    mixed: list[bytes | None] = []
    for index, value in enumerate(values):
        mixed += [value, JOB] if index % 5 == 0 else [value]
    with mine.running("ingest"):
        produce(mine, mixed, **{"message.max.bytes": 1_000_000})
        rejected = mine.wait_for(mine.routes.rejected, 1000)
        ready = mine.wait_for(mine.routes.ready, 200)
    assert (len(rejected), len(ready)) == (1000, 200)
    for record in rejected:
        body = json.loads(record.value or b"{}")
        assert body["reason"]
        assert body["message"]
        assert body["remedy"]
        assert body["topic"] == mine.routes.jobs


async def produce_with_broken_header_name(mine: Pipeline) -> None:
    """Append a record as a careless client would: a header name that is not UTF-8."""
    producer = AIOKafkaProducer(bootstrap_servers=mine.servers.kafka_bootstrap)
    await producer.start()
    try:
        builder = producer.create_batch()
        assert builder.append(key=None, value=JOB, timestamp=None, headers=[("zz", b"1")]) is not None
        raw = bytearray(bytes(builder._build()).replace(b"zz", b"\xff\xfe"))
        raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
        builder._buffer = raw
        await (await producer.send_batch(builder, mine.routes.jobs, partition=0))
    finally:
        await producer.stop()


def test_a_record_the_client_library_cannot_parse_is_rejected_and_passed(mine: Pipeline) -> None:
    produce(mine, [JOB] * 8)
    asyncio.run(produce_with_broken_header_name(mine))
    produce(mine, [JOB] * 8)
    with mine.running("ingest"):
        rejected = mine.wait_for(mine.routes.rejected, 1)
        ready = mine.wait_for(mine.routes.ready, 16)
    assert len(ready) == 16
    body = json.loads(rejected[0].value or b"{}")
    assert (body["reason"], body["partition"], body["offset"]) == ("unreadable", 0, 4)


def test_records_of_an_aborted_transaction_are_no_jobs(mine: Pipeline) -> None:
    producer = Producer(
        {"bootstrap.servers": mine.servers.kafka_bootstrap, "transactional.id": f"{mine.routes.prefix}tx"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(mine.routes.jobs, value=JOB, partition=0)
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce(mine.routes.jobs, value=b'{"type":"kept"}', partition=0)
    producer.commit_transaction(30)
    with mine.running("ingest"):
        produce(mine, [b'{"type":"after"}'])
        ready = mine.wait_for(mine.routes.ready, 2)
    assert sorted(decode_accepted(record).type for record in ready) == ["after", "kept"]


def test_a_restart_repeats_at_most_the_uncommitted_and_loses_nothing(mine: Pipeline) -> None:
    produce(mine, [JOB] * 300)
    first = mine.start("ingest")
    mine.wait_for(mine.routes.ready, 1)
    first.process.kill()
    first.process.wait()
    with mine.running("ingest"):
        produce(mine, [JOB] * 100)

        def origins() -> set[str]:
            return {decode_accepted(record).origin for record in mine.read(mine.routes.ready)}

        mine.wait_for(mine.routes.ready, 400)
        expected = {(r.partition, r.offset) for r in mine.read(mine.routes.jobs)}
        found = {Origin.parse(origin)[1:] for origin in origins()}
    assert found == expected


def test_preparing_twice_keeps_the_epoch(mine: Pipeline) -> None:
    async def again() -> tuple[int, str]:
        made = await create_topics(mine.kafka, mine.routes.specs(), 1)
        return made, (await ensure_epoch(mine.kafka, mine.routes)).epoch

    assert asyncio.run(again()) == (0, mine.epoch.epoch)
