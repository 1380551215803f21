"""Sends records to the topic ``jobs``: batches spread over partitions, one in flight for each."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka.errors import KafkaTimeoutError

from penstock.client.submission import EncodedJob

BATCH_MIN_RECORDS = 32
"""A handful of records is not spread: each further batch costs more than its share of them."""
BATCH_MAX_RECORDS = 2000
"""Bounds how long one acknowledgement keeps the event loop busy, about 10 ms."""


class Place(NamedTuple):
    """Where one record was acknowledged; ``offset`` is -1 when the broker no longer knew."""

    partition: int
    offset: int
    timestamp_ms: int


@dataclass(slots=True)
class Call:
    """One submit under way."""

    places: list[Place | None]
    missing: int
    done: asyncio.Future[None]
    withdrawn: bool = False
    """The caller has stopped waiting: what is not in a batch yet stays here."""
    taken: int = 0
    """Records that were put into a batch, so that they may be in the log."""


@dataclass(slots=True)
class _Batch:
    partition: int
    builder: Any
    slots: list[tuple[Call, int]] = field(default_factory=list)


class Outbox:
    """Batches whatever waits; keeps no order between records (the pipeline promises none here).

    Parameters
    ----------
    producer
        A started ``AIOKafkaProducer``, idempotent: it sends a batch again until it is answered, so
        a batch once taken may reach the log as long as the producer lives.
    """

    def __init__(self, producer: Any, topic: str, partitions: Iterable[int]) -> None:
        self._producer = producer
        self._topic = topic
        self._idle: deque[int] = deque(sorted(partitions))
        self._lanes = len(self._idle)
        self._waiting: deque[tuple[EncodedJob, Call, int]] = deque()
        self._withdrawn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, jobs: Sequence[EncodedJob]) -> Call:
        """Queue records and give the call that collects their places."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = Call([None] * len(jobs), len(jobs), done)
        self._waiting.extend((job, call, index) for index, job in enumerate(jobs))
        if not jobs:
            done.set_result(None)
        self._wake()
        return call

    def withdraw(self, call: Call) -> None:
        """Let go of what of this call waits still; of what is in a batch nobody hears any more."""
        if call.withdrawn:
            return
        call.withdrawn = True
        self._withdrawn += len(call.places) - call.taken
        # In one go when it is most of what waits: with the broker away no lane would pass over it.
        if self._withdrawn * 2 > len(self._waiting):
            self._waiting = deque(entry for entry in self._waiting if not entry[1].withdrawn)
            self._withdrawn = 0

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """Stop: nothing that waits goes out any more, and nobody learns of what is under way."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    def _wake(self) -> None:
        for _ in range(min(len(self._waiting), len(self._idle))):
            task = asyncio.create_task(self._run_lane(self._idle.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_lane(self, partition: int) -> None:
        try:
            while self._waiting:
                batch = self._fill(partition)
                if batch.slots:
                    await self._deliver(batch)
        finally:
            self._idle.append(partition)

    def _fill(self, partition: int) -> _Batch:
        """Take this lane's share of what waits, at most a batch full."""
        batch = _Batch(partition, self._producer.create_batch())
        share = -(-len(self._waiting) // self._lanes)
        share = min(max(share, BATCH_MIN_RECORDS), BATCH_MAX_RECORDS)
        while self._waiting and len(batch.slots) < share:
            job, call, index = self._waiting[0]
            if call.withdrawn:
                self._withdrawn -= 1
            else:
                appended = batch.builder.append(
                    key=None, value=job.value, timestamp=None, headers=list(job.headers)
                )
                if appended is None:
                    break
                call.taken += 1
                batch.slots.append((call, index))
            self._waiting.popleft()
        batch.builder.close()
        return batch

    async def _deliver(self, batch: _Batch) -> None:
        try:
            metadata = await (await self._hand_over(batch))
        except Exception as error:
            self._fail(batch, error)
            return
        for position, (call, index) in enumerate(batch.slots):
            # After a lost answer the broker may only say "that was a duplicate", without a place.
            offset = -1 if metadata.offset < 0 else metadata.offset + position
            call.places[index] = Place(batch.partition, offset, metadata.timestamp)
            call.missing -= 1
            if call.missing == 0 and not call.done.done():
                call.done.set_result(None)

    def _fail(self, batch: _Batch, error: Exception) -> None:
        for call, _ in batch.slots:
            self.withdraw(call)
            if not call.done.done():
                call.done.set_exception(error)
                # The caller may have been cancelled and will then never look.
                call.done.exception()

    async def _hand_over(self, batch: _Batch) -> Any:
        """Queue a batch; a time-out here means it was never queued, so repeating is safe."""
        while True:
            with contextlib.suppress(KafkaTimeoutError):
                return await self._producer.send_batch(batch.builder, self._topic, partition=batch.partition)
