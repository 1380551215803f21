"""taskiq on Kafka (``taskiq-aio-kafka``), results in Redis (``taskiq-redis``).

Settings, from taskiq's documentation:

- ``--workers 2``: "CLI", "Other parameters"; the default, and one process a core.
- ``--max-async-tasks 100``, ``--ack-type when_saved``: the same page; the defaults.
- uvloop, by the extra ``uv``: workers use it when it is installed.
- ``ORJSONSerializer`` for messages and results: "Message format", "Serializers".
- A consumer group, so that a task runs in one worker and not in each, read from the beginning: README of
  taskiq-aio-kafka, "Non-obvious things". Four partitions, two for each worker, as Penstock has.
- aiokafka's own partitioner and assignor, of the same names as the defaults: taskiq-aio-kafka 1.0 takes those
  of kafka-python, which aiokafka 0.14 cannot call.
- Its producer waits for the leader alone (``acks=1``), the default; Penstock's waits for all replicas.

Run with ``python -m`` it is the driver.
"""

import asyncio
import os
from collections.abc import Sequence

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.partitioner import DefaultPartitioner
from kafka.admin import NewTopic
from taskiq.serializers import ORJSONSerializer
from taskiq_aio_kafka import AioKafkaBroker
from taskiq_redis import RedisAsyncResultBackend

from benchmarks.peers.apps.driver import CHUNK, serve
from benchmarks.peers.apps.effects import note, payload
from benchmarks.peers.apps.results import Results

URL = os.environ["PEERS_REDIS"]

broker = AioKafkaBroker(
    bootstrap_servers=os.environ["PEERS_KAFKA"],
    kafka_topic=NewTopic(name="noop", num_partitions=4, replication_factor=1),
    result_backend=RedisAsyncResultBackend(URL, serializer=ORJSONSerializer()),
).with_serializer(ORJSONSerializer())
broker.configure_consumer(
    group_id="peers",
    auto_offset_reset="earliest",
    partition_assignment_strategy=[RoundRobinPartitionAssignor],
)
broker.configure_producer(partitioner=DefaultPartitioner())


@broker.task(task_name="noop")
async def noop(number: int, text: str) -> None:  # noqa: ARG001 - the payload's filling
    """Note that it ran."""
    note(number)


class Submitter:
    """Sends as a client of the broker."""

    packages = ("taskiq", "taskiq-aio-kafka", "taskiq-redis", "aiokafka", "uvloop")

    async def open(self) -> None:
        """Connect; makes the topic."""
        self._results = Results(URL, b'"is_err":false')
        await broker.startup()

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Send in groups that share requests to Kafka."""
        ids: list[str] = []
        for first in range(0, len(numbers), CHUNK):
            ids += await asyncio.gather(*[self.submit(number) for number in numbers[first : first + CHUNK]])
        return ids

    async def submit(self, number: int) -> str:
        """Send one."""
        return str((await noop.kiq(**payload(number))).task_id)

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Ask the result backend."""
        return self._results.ended(ids)


if __name__ == "__main__":
    serve(Submitter())
