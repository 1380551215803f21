"""Every offset that was ever committed, read from the broker's own log of them.

What a client committed stands in ``__consumer_offsets``; what the broker answers is its memory of it, which a
broker can lose (docs/chaos.md, "A broker that forgets"). The log begins at the first commit here: no stack
lives long enough for a segment of it to be compacted.
"""

import struct
from collections.abc import Iterable

from adapters.kafka.cluster import describe_topics
from adapters.kafka.reader import reading
from core.log import Record, TopicPartition
from penstock.connection import KafkaConnection
from tests.chaos.watch import Committed, Fall

OFFSETS_TOPIC = "__consumer_offsets"
POLL_S = 0.5
_COMMIT_VERSIONS = (0, 1)
"""Of a key; others are about members of groups."""


class CommitLog:
    """What was committed, in the order of the log, and where it went back.

    Attributes
    ----------
    newest
        The last offset committed of each place.
    commits
        How many were read.
    """

    def __init__(self) -> None:
        self.newest: dict[Committed, int] = {}
        self.falls: list[Fall] = []
        self.commits = 0

    def take(self, records: Iterable[Record]) -> None:
        """Take in records of ``__consumer_offsets``."""
        for record in records:
            key = _key_of(record.key or b"")
            if key is None:
                continue
            if record.value is None:
                self.newest.pop(key, None)
                continue
            (offset,) = struct.unpack_from(">q", record.value, 2)
            before = self.newest.get(key)
            if before is not None and offset < before:
                self.falls.append(Fall(key, before, offset))
            self.newest[key] = offset
            self.commits += 1

    def disproves(self, fall: Fall) -> bool:
        """Whether an offset that was seen to go back was committed and never taken back by anybody."""
        written = self.newest.get(fall.key, -1)
        return written >= fall.before and all(one.key != fall.key for one in self.falls)


def _key_of(raw: bytes) -> Committed | None:
    """Read a key: version, group, topic, partition (Kafka's ``OffsetCommitKey``)."""
    if len(raw) < 2 or struct.unpack_from(">h", raw)[0] not in _COMMIT_VERSIONS:
        return None
    group, at = _text(raw, 2)
    topic, at = _text(raw, at)
    return Committed(group, topic, *struct.unpack_from(">i", raw, at))


def _text(raw: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", raw, at)
    begin = at + 2
    return raw[begin : begin + length].decode(), begin + length


async def read_commits(kafka: KafkaConnection) -> CommitLog:
    """Read the log from its beginning to its end as it is now."""
    log = CommitLog()
    async with reading(kafka, client_id="chaos-commits") as reader:
        partitions = await _partitions(kafka)
        ends = await reader.end_offsets(partitions)
        await reader.assign(await reader.start_offsets(partitions))
        while any(reader.position(place) < end for place, end in ends.items()):
            log.take(await reader.poll(POLL_S))
    return log


async def _partitions(kafka: KafkaConnection) -> list[TopicPartition]:
    view = await describe_topics(kafka, {OFFSETS_TOPIC})
    return [TopicPartition(OFFSETS_TOPIC, number) for number in range(view.topics[OFFSETS_TOPIC].partitions)]
