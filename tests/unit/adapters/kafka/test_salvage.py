"""Getting past one unreadable record without reading a whole backlog into memory."""

from types import SimpleNamespace

from aiokafka import TopicPartition as AioTopicPartition

from adapters.kafka.salvage import PROBE_MAX_RECORDS, read_around
from core.log import UNREADABLE_HEADER, TopicPartition

BACKLOG, POISONED = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


class Consumer:
    """A million good records on one partition, an unreadable one first on the other."""

    def __init__(self) -> None:
        self.positions: dict[AioTopicPartition, int] = {}

    def seek(self, partition: AioTopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def end_offsets(self, partitions: list[AioTopicPartition]) -> dict[AioTopicPartition, int]:
        return dict.fromkeys(partitions, 1_000_000)

    async def getmany(
        self, partition: AioTopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[AioTopicPartition, list[SimpleNamespace]]:
        assert (timeout_ms > 0, max_records) == (True, 1)
        offset = self.positions[partition]
        if partition.partition == POISONED.partition and offset == 0:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        self.positions[partition] += 1
        raw = SimpleNamespace(
            topic="jobs", partition=0, offset=offset, timestamp=1, key=None, value=b"{}", headers=()
        )
        return {partition: [raw]}


async def test_a_backlog_before_the_unreadable_record_is_not_read_whole() -> None:
    consumer = Consumer()

    records = await read_around(consumer, {BACKLOG: 5, POISONED: 0})

    good, stand_in = records[:-1], records[-1]
    assert [record.offset for record in good] == list(range(5, 5 + PROBE_MAX_RECORDS))
    assert stand_in.header(UNREADABLE_HEADER) is not None
    # The caller goes on behind what it was given.
    assert consumer.positions[AioTopicPartition(*BACKLOG)] == 5 + PROBE_MAX_RECORDS
    assert consumer.positions[AioTopicPartition(*POISONED)] == 1
