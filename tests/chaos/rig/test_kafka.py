import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, RequestTimedOutError

from tests.chaos.rig.kafka import Access, Cluster
from tests.chaos.rig.process import wait_until
from tests.chaos.rig.proxy import Direction, Proxy, Toxiproxy
from tests.chaos.rig.tools import Tool, why_missing

TOPIC = "kept"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("kafka"))
    try:
        cluster.start()
        make_topic(cluster)
        yield cluster
    finally:
        cluster.close()


def make_topic(cluster: Cluster) -> None:
    cluster.ask(lambda admin: admin.create_topics([NewTopic(TOPIC, 1, cluster.replication)]))
    cluster.wait_ready()


def append(bootstrap: str, value: bytes, timeout_ms: int = 10_000) -> None:
    async def send() -> None:
        options = {"bootstrap_servers": bootstrap, "acks": "all", "request_timeout_ms": timeout_ms}
        producer = AIOKafkaProducer(**options)
        try:
            await producer.start()
            await producer.send_and_wait(TOPIC, value, partition=0)
        finally:
            await producer.stop()

    asyncio.run(send())


def values(bootstrap: str) -> list[bytes]:
    partition = TopicPartition(TOPIC, 0)

    async def read() -> list[bytes]:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[bytes] = []
            while await consumer.position(partition) < end:
                records = await consumer.getmany(partition, timeout_ms=1000)
                found += [record.value for batch in records.values() for record in batch]
            return found

    return asyncio.run(read())


def test_a_killed_broker_comes_back_with_its_log(alone: Cluster) -> None:
    append(alone.bootstrap, b"one")
    (broker,) = alone.brokers
    broker.kill()
    assert not broker.is_alive
    broker.start()
    alone.wait_ready()
    assert b"one" in values(alone.bootstrap)


def test_a_paused_broker_answers_nobody_until_it_is_resumed(alone: Cluster) -> None:
    (broker,) = alone.brokers
    broker.pause()
    try:
        with pytest.raises(KafkaError):
            append(alone.bootstrap, b"paused", timeout_ms=1000)
    finally:
        broker.resume()
    assert alone.leader_of(TOPIC, 0) is broker


@pytest.mark.chaos
@pytest.mark.skipif(why_missing(Tool.TOXIPROXY) is not None, reason="toxiproxy")
def test_a_record_whose_acknowledgement_is_lost_is_in_the_log(tmp_path: Path) -> None:
    cluster, control = Cluster(tmp_path, access=Access.PROXIED), Toxiproxy(tmp_path / "toxiproxy.log")
    (broker,) = cluster.brokers
    try:
        control.start()
        proxy = control.proxy("broker", broker.advertised, broker.upstream)
        cluster.start()
        make_topic(cluster)
        asyncio.run(lose_acknowledgement(cluster.bootstrap, proxy))
        assert set(values(cluster.direct)) == {b"warm", b"lost"}
        append(cluster.bootstrap, b"healed")
    finally:
        cluster.close()
        control.close()


async def lose_acknowledgement(bootstrap: str, proxy: Proxy) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=2000) as producer:
        await producer.send_and_wait(TOPIC, b"warm", partition=0)
        with proxy.toxic("timeout", Direction.TO_CLIENT, timeout=0), pytest.raises(RequestTimedOutError):
            await producer.send_and_wait(TOPIC, b"lost", partition=0)


@pytest.mark.chaos
def test_of_three_brokers_one_may_die_without_a_loss(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 3)
    try:
        cluster.start()
        make_topic(cluster)
        leader = cluster.leader_of(TOPIC, 0)
        append(cluster.bootstrap, b"before")
        leader.kill()
        wait_until(lambda: cluster.leader_of(TOPIC, 0) is not leader, "another leader", 30.0)
        append(cluster.bootstrap, b"meanwhile", timeout_ms=30_000)
        leader.start()
        cluster.wait_in_sync()
        assert values(cluster.bootstrap) == [b"before", b"meanwhile"]
    finally:
        cluster.close()
