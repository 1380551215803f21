"""Records of a partitioned log, as every layer sees them."""

from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]

UNREADABLE_HEADER = "penstock-unreadable"
"""Header of the stand-in for a record that could not be parsed; its value says why."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Coordinate(NamedTuple):
    """The place of one record."""

    topic: str
    partition: int
    offset: int


class Record(NamedTuple):
    """A record that was read.

    ``timestamp_ms`` is the broker's append time (every topic uses LogAppendTime): the only clock
    on which services agree.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def coordinate(self) -> Coordinate:
        """Where this record stands."""
        return Coordinate(self.topic, self.partition, self.offset)

    def header(self, name: str) -> bytes | None:
        """Give the first header of that name, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class NewRecord(NamedTuple):
    """A record to append; always to an explicit partition, never by a client's partitioner."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


RECORD_OVERHEAD_BYTES = 128
"""More than Kafka's record framing (KIP-98 format v2) adds to key, value and headers."""
HEADER_OVERHEAD_BYTES = 10


def size_bytes(record: NewRecord) -> int:
    """Give what a record takes of a batch, at most: key, value, headers and framing."""
    headers = sum(len(name) + len(value) + HEADER_OVERHEAD_BYTES for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers + RECORD_OVERHEAD_BYTES


class Appended(NamedTuple):
    """The acknowledged place and broker time of one appended record."""

    offset: int
    timestamp_ms: int
