"""Sending against a producer that does what the test says: batches, and what is known when it fails."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, OutOfOrderSequenceNumber
from typing_extensions import override

from penstock.client import sending
from penstock.client.errors import Backpressure, NotSent, Unacknowledged
from penstock.client.link import Epoch, KafkaLink, Opened
from penstock.client.outbox import BATCH_MAX_RECORDS, Outbox
from penstock.client.room import OnFull, Room
from penstock.client.rows import SubmittedRef
from penstock.client.submission import EncodedJob, encode_job
from penstock.errors import SubmitUnknown
from penstock.identity import Origin, job_id_from_key, job_id_from_origin

ROOMY_BYTES = 10_000_000
NOW_MS = 1_700_000_000_000


class Builder:
    def __init__(self) -> None:
        self.records: list[bytes] = []

    def append(self, *, key: object, value: bytes, timestamp: object, headers: object) -> object:
        self.records.append(value)
        return object()

    def close(self) -> None:
        pass


Answer = Callable[[int, Builder], Any]


class Producer:
    """Acknowledges batches as the test's ``answer`` says; None leaves them unanswered."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.batches: list[tuple[int, list[bytes]]] = []
        self.ends: dict[int, int] = {}

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, builder: Builder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        # A real producer gives other tasks their turn.
        await asyncio.sleep(0)
        answer = self.answer(partition, builder)
        if isinstance(answer, KafkaTimeoutError):
            raise answer
        self.batches.append((partition, builder.records))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(answer)
        return future


def place(offset: int) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, timestamp=NOW_MS)


def in_order(partition: int, builder: Builder, ends: dict[int, int]) -> SimpleNamespace:
    offset = ends.get(partition, 0)
    ends[partition] = offset + len(builder.records)
    return place(offset)


class Link:
    def __init__(self, producer: Producer, partitions: int = 4) -> None:
        self.outbox = Outbox(producer, "jobs", range(partitions))
        self.opened = Opened(producer, self.outbox, Epoch("e", partitions))

    async def open(self) -> Opened:
        return self.opened


def link_of(producer: Producer) -> KafkaLink:
    return cast("KafkaLink", Link(producer))


async def send(
    link: KafkaLink, sent: list[EncodedJob], timeout_s: float, room: Room | None = None
) -> list[SubmittedRef]:
    return await sending.send(link, room or Room(ROOMY_BYTES, OnFull.WAIT), sent, timeout_s)


def jobs(count: int) -> list[EncodedJob]:
    return [encode_job({"type": "a", "payload": index}) for index in range(count)]


def acknowledging() -> Producer:
    ends: dict[int, int] = {}
    return Producer(lambda partition, builder: in_order(partition, builder, ends))


async def test_references_come_in_the_order_of_the_jobs_and_name_their_own_records() -> None:
    producer = acknowledging()
    sent = jobs(9000)
    refs = await send(link_of(producer), sent, 5.0)
    log: dict[tuple[int, int], bytes] = {}
    ends: dict[int, int] = {}
    for partition, records in producer.batches:
        for value in records:
            log[partition, ends.get(partition, 0)] = value
            ends[partition] = ends.get(partition, 0) + 1
    for job, ref in zip(sent, refs, strict=True):
        assert log[ref.origin.partition, ref.origin.offset] == job.value
        assert ref.job_id == job_id_from_origin(ref.origin, NOW_MS)
    assert set(ends) == {0, 1, 2, 3}
    assert max(len(records) for _, records in producer.batches) <= BATCH_MAX_RECORDS


async def test_submits_made_at_the_same_time_share_batches() -> None:
    producer = acknowledging()
    link = link_of(producer)
    await asyncio.gather(*(send(link, jobs(1), 5.0) for _ in range(400)))
    assert len(producer.batches) <= 12


async def test_single_submits_take_the_partitions_in_turn() -> None:
    producer = acknowledging()
    link = link_of(producer)
    refs = [(await send(link, jobs(1), 5.0))[0] for _ in range(8)]
    assert sorted(ref.origin.partition for ref in refs) == [0, 0, 1, 1, 2, 2, 3, 3]


async def test_a_keyed_job_is_named_by_its_key() -> None:
    refs = await send(link_of(acknowledging()), [encode_job({"type": "a", "idempotency_key": "k"})], 5.0)
    assert refs[0].job_id == job_id_from_key("default", "k")
    assert refs[0].origin == Origin("e", 0, 0)


async def test_without_an_answer_the_submit_is_unknown_and_says_what_is_known() -> None:
    ends: dict[int, int] = {}
    producer = Producer(
        lambda partition, builder: in_order(partition, builder, ends) if partition < 3 else None
    )
    with pytest.raises(Unacknowledged, match="idempotency_key") as caught:
        await send(link_of(producer), jobs(128), 0.05)
    assert isinstance(caught.value, SubmitUnknown)
    unanswered = sum(len(records) for partition, records in producer.batches if partition == 3)
    assert caught.value.refs.count(None) == unanswered > 0
    assert caught.value.withdrawn == 0


async def test_what_never_left_is_withdrawn_and_never_sent_later() -> None:
    waiting: list[asyncio.Future[None]] = []
    all_stuck = asyncio.Event()

    class Stuck(Producer):
        @override
        async def send_batch(self, builder: Builder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.append(gate)
            if len(waiting) == 4:
                all_stuck.set()
            await gate
            return await super().send_batch(builder, topic, partition=partition)

    ends: dict[int, int] = {}
    producer = Stuck(lambda partition, builder: in_order(partition, builder, ends))
    link = link_of(producer)
    first = asyncio.create_task(send(link, jobs(128), 5.0))
    await asyncio.wait_for(all_stuck.wait(), 5.0)
    with pytest.raises(NotSent, match="repeating the call is safe"):
        await send(link, [encode_job({"type": "late"})], 0.05)
    for gate in waiting:
        gate.set_result(None)
    assert len(await first) == 128
    opened = await link.open()
    await opened.outbox.drain()
    assert not any(b"late" in value for _, records in producer.batches for value in records)


async def test_submits_beyond_the_buffer_are_refused_while_the_broker_is_away_and_memory_stays_bounded() -> (
    None
):
    link = link_of(Producer(lambda _partition, _builder: None))
    room = Room(100 * jobs(1)[0].size_bytes, OnFull.RAISE)
    asked = [asyncio.create_task(send(link, jobs(1), 0.2, room)) for _ in range(1000)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, Backpressure) for result in results) == 900
    assert sum(isinstance(result, Unacknowledged | NotSent) for result in results) == 1000
    assert room.used_bytes == 0
    for _ in range(50):
        with pytest.raises(NotSent):
            await send(link, jobs(50), 0.001, room)
    opened = await link.open()
    # What gave up is let go although no lane comes round to it.
    assert len(opened.outbox) <= 100


async def test_a_submit_waits_for_room_and_gets_in_in_the_order_of_asking() -> None:
    answered = asyncio.Event()

    class Slow(Producer):
        @override
        async def send_batch(self, builder: Builder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
            await answered.wait()
            return await super().send_batch(builder, topic, partition=partition)

    ends: dict[int, int] = {}
    link = link_of(Slow(lambda partition, builder: in_order(partition, builder, ends)))
    room = Room(10 * jobs(1)[0].size_bytes, OnFull.WAIT)
    order: list[int] = []

    async def submit(number: int, count: int) -> None:
        refs = await send(link, jobs(count), 5.0, room)
        assert len(refs) == count
        order.append(number)

    counts = (10, 25, 1, 10)
    tasks = [asyncio.create_task(submit(number, count)) for number, count in enumerate(counts)]
    await asyncio.sleep(0)
    answered.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 5.0)
    assert order == [0, 1, 2, 3]
    assert room.used_bytes == 0


async def test_a_submit_that_waits_for_room_gives_up_with_a_clear_error_and_leaves_no_trace() -> None:
    link = link_of(Producer(lambda _partition, _builder: None))
    room = Room(10, OnFull.WAIT)
    first = asyncio.create_task(send(link, jobs(1), 0.5, room))
    await asyncio.sleep(0)
    with pytest.raises(Backpressure, match=r"nothing was sent.*buffer_max_bytes"):
        await send(link, jobs(1), 0.05, room)
    cancelled = asyncio.create_task(send(link, jobs(1), 5.0, room))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(Unacknowledged):
        await first
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert room.used_bytes == 0


async def test_an_answer_without_a_place_is_unknown() -> None:
    with pytest.raises(Unacknowledged, match="forgotten"):
        await send(link_of(Producer(lambda _partition, _builder: place(-1))), jobs(1), 5.0)


async def test_a_refusal_of_the_broker_means_that_nothing_was_sent() -> None:
    with pytest.raises(NotSent):
        await send(link_of(Producer(lambda _p, _b: MessageSizeTooLargeError("no"))), jobs(1), 5.0)


async def test_any_other_failure_after_sending_leaves_it_unknown() -> None:
    with pytest.raises(Unacknowledged):
        await send(link_of(Producer(lambda _p, _b: OutOfOrderSequenceNumber("no"))), jobs(1), 5.0)


async def test_a_batch_the_producer_would_not_queue_is_handed_over_again() -> None:
    answers = iter([KafkaTimeoutError("full"), KafkaTimeoutError("full"), place(7)])
    producer = Producer(lambda _partition, _builder: next(answers))
    refs = await send(link_of(producer), jobs(1), 5.0)
    assert refs[0].origin.offset == 7


async def test_no_jobs_are_sent_at_once() -> None:
    assert await send(link_of(acknowledging()), [], 5.0) == []
