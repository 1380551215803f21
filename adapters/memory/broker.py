"""The log all fakes of one test share: partitions, broker time, consumer groups."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from adapters.memory.faults import Faults
from adapters.memory.membership import Group
from core.log import Appended, NewRecord, Record, TopicPartition
from ports.log import OffsetOutOfRangeError
from schemas.topics import TopicSpec

RECORD_MAX_BYTES = 983_040
"""Where the real appender refuses a record; a contract test holds both to it."""


class UnknownTopicError(Exception):
    """A topic nobody created: like the real broker, this one makes none by itself."""


@dataclass(slots=True)
class _Log:
    start: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + len(self.records)


class MemoryBroker:
    """Holds every partition; what it does is done when the call returns.

    Parameters
    ----------
    now_ms
        The broker's clock: append times are read from it. It may stand still between two appends
        and must not go back.
    """

    def __init__(self, now_ms: Callable[[], int], *, record_max_bytes: int = RECORD_MAX_BYTES) -> None:
        self.now_ms = now_ms
        self.record_max_bytes = record_max_bytes
        self.faults = Faults(self.notify)
        self.groups: dict[str, Group] = {}
        self._logs: dict[TopicPartition, _Log] = {}
        self._changed = asyncio.Event()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create one topic; one that exists stays as it is."""
        for number in range(partitions):
            self._logs.setdefault(TopicPartition(name, number), _Log())

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create the topics of a route map."""
        for spec in specs:
            self.create_topic(spec.name, spec.partitions)

    def write(self, record: NewRecord) -> Appended:
        """Append one record at once, past every fault; also how a foreign producer writes."""
        partition = TopicPartition(record.topic, record.partition)
        log = self._log(partition)
        at = Appended(log.end, self.now_ms())
        log.records.append(Record(*partition, *at, record.key, record.value, record.headers))
        self.notify()
        return at

    def records(self, topic: str) -> list[Record]:
        """Give everything in a topic, partition by partition: what a test asserts on."""
        return [record for tp in self.partitions_of(topic) for record in self._logs[tp].records]

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """Give the partitions of a topic in order of number."""
        found = sorted(tp for tp in self._logs if tp.topic == topic)
        if not found:
            raise UnknownTopicError(topic)
        return found

    def trim(self, partition: TopicPartition, before: int) -> None:
        """Delete the records below an offset, as retention or a janitor does."""
        log = self._log(partition)
        drop = min(max(0, before - log.start), len(log.records))
        del log.records[:drop]
        log.start += drop

    def read(self, partition: TopicPartition, offset: int, limit: int) -> list[Record]:
        """Give up to ``limit`` records from ``offset`` on; empty at the end of the log.

        Raises
        ------
        OffsetOutOfRangeError
            The offset is below the first record or above the end.
        """
        log = self._log(partition)
        if not log.start <= offset <= log.end:
            raise OffsetOutOfRangeError(f"{partition} has {log.start} to {log.end}, not {offset}")
        return log.records[offset - log.start : offset - log.start + limit]

    def start(self, partition: TopicPartition) -> int:
        """Offset of the oldest record there is."""
        return self._log(partition).start

    def end(self, partition: TopicPartition) -> int:
        """Offset after the newest record."""
        return self._log(partition).end

    def group(self, name: str) -> Group:
        """Give the state of one consumer group, empty at first."""
        return self.groups.setdefault(name, Group())

    def notify(self) -> None:
        """Wake everybody who waits in ``changed``."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, timeout_s: float) -> bool:
        """Wait for the next append, rebalance or repair; False when the time is over."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _log(self, partition: TopicPartition) -> _Log:
        try:
            return self._logs[partition]
        except KeyError:
            raise UnknownTopicError(str(partition)) from None
