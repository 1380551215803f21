"""A new epoch is made though a broker still tells what was before its steps."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import NewPartitions

from adapters.kafka import new_epoch
from adapters.kafka.cluster import describe_topics
from adapters.kafka.groups import administering
from core.epoch import ClusterView
from penstock.connection import KafkaConnection
from schemas.control import EpochRecord
from tests.support.pipeline import pipeline
from tests.support.servers import Servers

STALE_ANSWERS = 2


def test_a_broker_that_tells_an_old_count_of_partitions_does_not_stop_it(
    servers: Servers, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale: list[int] = []

    with pipeline(servers, topic_prefix, tmp_path) as mine:
        dead = mine.routes.dead

        async def describe_late(connection: KafkaConnection, names: Iterable[str]) -> ClusterView:
            view = await describe_topics(connection, names)
            if dead not in view.topics or len(stale) == STALE_ANSWERS:
                return view
            stale.append(view.topics[dead].partitions)
            mark = msgspec.structs.replace(view.topics[dead], partitions=2)
            return view._replace(topics={**view.topics, dead: mark})

        async def make() -> EpochRecord:
            making = await new_epoch.begin(mine.kafka, mine.routes, mine.epoch, 3)
            async with administering(mine.kafka) as admin:
                await admin.create_partitions({dead: NewPartitions(3)})
            monkeypatch.setattr(new_epoch, "describe_topics", describe_late)
            return await new_epoch.finish(mine.kafka, mine.routes, making, 1, lambda _: None)

        made = asyncio.run(make())
    assert made.topics[dead].partitions == 3
    assert len(stale) == STALE_ANSWERS
