"""Finds out whether records were refused: one reader of ``jobs.rejected`` for all who wait."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.client.link import explained
from penstock.client.rows import SubmittedRef
from penstock.connection import KafkaConnection
from penstock.errors import JobRejected

CLOCK_SLACK_MS = 60_000
"""How far the clocks of two brokers may differ: a refusal is looked for from this much earlier."""
POLL_MS = 200


class _Coordinate(NamedTuple):
    partition: int
    offset: int


class RejectionWatch:
    """Follows ``jobs.rejected`` while anybody waits for a record; idle otherwise.

    A refusal stands on the partition of its origin, so only partitions somebody waits for are read.
    """

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection = connection
        self._topic = topic
        self._wanted: Counter[_Coordinate] = Counter()
        self._found: dict[_Coordinate, JobRejected] = {}
        self._rewind: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    def want(self, refs: Iterable[SubmittedRef]) -> None:
        """Look for refusals of these records until as many ``release`` calls name them."""
        for ref in refs:
            self._wanted[_coordinate(ref)] += 1
            partition = ref.origin.partition
            since_ms = ref.timestamp_ms - CLOCK_SLACK_MS
            self._rewind[partition] = min(since_ms, self._rewind.get(partition, since_ms))
        if self._wanted and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._follow())

    def found(self, ref: SubmittedRef) -> JobRejected | None:
        """Give the refusal of this record if it was read by now.

        Raises
        ------
        NotConnected
            ``jobs.rejected`` cannot be read, so waiting might never end.
        """
        if self._task is not None and self._task.done():
            self._task.result()
        return self._found.get(_coordinate(ref))

    def release(self, refs: Iterable[SubmittedRef]) -> None:
        """Nobody waits for these any more; the reader stops when nobody waits at all."""
        for ref in refs:
            coordinate = _coordinate(ref)
            self._wanted[coordinate] -= 1
            if self._wanted[coordinate] <= 0:
                del self._wanted[coordinate]
                self._found.pop(coordinate, None)

    async def close(self) -> None:
        """Stop reading."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        consumer: Any = AIOKafkaConsumer(**self._connection.client_options(), enable_auto_commit=False)
        try:
            with explained(self._connection):
                await consumer.start()
                while self._wanted:
                    await self._seek_back(consumer)
                    fetched = await consumer.getmany(timeout_ms=POLL_MS)
                    for batch in fetched.values():
                        self._take(batch)
            self._task = None
        finally:
            await consumer.stop()

    async def _seek_back(self, consumer: Any) -> None:
        """Read partitions that somebody began to wait for from where their refusal can stand."""
        since, self._rewind = self._rewind, {}
        if not since:
            return
        times = {TopicPartition(self._topic, partition): ms for partition, ms in since.items()}
        # The end first: what is appended between the two questions is then read, not missed.
        ends = await consumer.end_offsets(list(times))
        starts = await consumer.offsets_for_times(times)
        kept = {tp: await consumer.position(tp) for tp in consumer.assignment()}
        for tp in times:
            start = starts.get(tp)
            offset = ends[tp] if start is None else start.offset
            kept[tp] = min(offset, kept.get(tp, offset))
        consumer.assign(list(kept))
        for tp, offset in kept.items():
            consumer.seek(tp, offset)

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            if record.value is None:
                continue
            refusal = orjson.loads(record.value)
            coordinate = _Coordinate(refusal["partition"], refusal["offset"])
            if coordinate in self._wanted:
                self._found[coordinate] = JobRejected(
                    refusal["reason"],
                    field=refusal.get("field"),
                    remedy=f"{refusal['message']}; {refusal['remedy']}",
                )


def _coordinate(ref: SubmittedRef) -> _Coordinate:
    return _Coordinate(ref.origin.partition, ref.origin.offset)
