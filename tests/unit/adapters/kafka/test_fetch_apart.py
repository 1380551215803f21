"""Which connection a request takes."""

import asyncio
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest

from adapters.kafka import fetch_apart
from adapters.kafka.fetch_apart import (
    FETCH_CONNECTIONS_MAX,
    FETCH_MAX_WAIT_MS,
    PARTIAL_FETCH_MAX_WAIT_MS,
    QUIET_FETCH_MAX_WAIT_MS,
    Fetches,
)

TOPIC = "t"


def fetch_of(*partitions: int, offset: int = 0) -> FetchRequest:
    return FetchRequest(FETCH_MAX_WAIT_MS, 1, 1, 0, [(TOPIC, [(number, offset, 1) for number in partitions])])


class Assignment:
    """What aiokafka knows of the partitions that are read."""

    def __init__(self) -> None:
        self.states: dict[TopicPartition, Any] = {}

    @property
    def tps(self) -> Collection[TopicPartition]:
        return self.states.keys()

    def state_value(self, partition: TopicPartition) -> Any:
        return self.states.get(partition)

    def has(self, number: int, position: int | None = 0, *, paused: bool = False) -> None:
        self.states[TopicPartition(TOPIC, number)] = SimpleNamespace(
            paused=paused, has_valid_position=position is not None, position=position
        )


class Broker:
    """Takes the place of a client's ``send``, and holds what it is sent until told.

    Odd partitions are led by broker 1, even ones by 2.
    """

    def __init__(self) -> None:
        cluster = SimpleNamespace(leader_for_partition=lambda tp: 1 if tp.partition % 2 else 2)
        self.client = SimpleNamespace(send=self.send, cluster=cluster)
        self.groups: list[tuple[int, int]] = []
        self.waits_ms: list[int] = []
        self.answers: list[asyncio.Future[str]] = []
        self.assigned = Assignment()
        self.looks: set[asyncio.Future[None]] = set()
        """What aiokafka was told to look at again."""
        self.fetcher = SimpleNamespace(
            _pending_tasks=set(), _wait_consume_future=None, _notify=self.looks.add
        )
        self.fetches = Fetches(
            SimpleNamespace(
                _client=self.client,
                _fetcher=self.fetcher,
                _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=self.assigned)),
                paused=lambda: {tp for tp, state in self.assigned.states.items() if state.paused},
            )
        )

    async def send(self, node_id: int, request: Any, *, group: int) -> str:
        self.groups.append((node_id, group))
        self.waits_ms.append(getattr(request, "_max_wait_ms", 0))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def fetch(self, node_id: int = 1, request: FetchRequest | None = None) -> asyncio.Task[str]:
        asked = fetch_of(1) if request is None else request
        task: asyncio.Task[str] = asyncio.ensure_future(self.client.send(node_id, asked))
        self.fetcher._pending_tasks.add(task)
        await asyncio.sleep(0)
        return task

    async def fetched(self, request: FetchRequest) -> None:
        """Ask, and be answered."""
        task = await self.fetch(request=request)
        self.answers[-1].set_result("records")
        await task


async def drop(task: asyncio.Task[str]) -> None:
    """Want its answer no more."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_what_is_no_fetch_keeps_its_connection() -> None:
    broker = Broker()
    held = await broker.fetch()

    asked = asyncio.ensure_future(broker.client.send(1, "ends"))
    of_group = asyncio.ensure_future(broker.client.send(1, "join", group=ConnectionGroup.COORDINATION))
    await asyncio.sleep(0)

    assert broker.groups[1:] == [(1, ConnectionGroup.DEFAULT), (1, ConnectionGroup.COORDINATION)]
    assert broker.groups[0] not in broker.groups[1:]
    for task in (held, asked, of_group):
        await drop(task)


async def test_fetches_that_are_answered_or_fail_stay_on_one_connection() -> None:
    broker = Broker()
    for number in range(4):
        task = await broker.fetch()
        if number % 2:
            broker.answers[-1].set_result("records")
        else:
            broker.answers[-1].set_exception(OSError("gone"))
        await asyncio.wait([task])
        assert isinstance(task.exception(), OSError) != bool(number % 2)

    assert len(set(broker.groups)) == 1


async def test_a_fetch_takes_another_connection_while_the_broker_holds_one_nobody_wants() -> None:
    broker = Broker()
    for _ in range(FETCH_CONNECTIONS_MAX):
        await drop(await broker.fetch())
    assert len(set(broker.groups)) == FETCH_CONNECTIONS_MAX

    await drop(await broker.fetch())
    assert broker.groups[-1] == broker.groups[0], "all are held: the one that is free first"


async def test_a_connection_is_used_again_when_the_broker_is_through_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch_apart, "FETCH_MAX_WAIT_MS", 1)
    broker = Broker()
    await drop(await broker.fetch())
    await asyncio.sleep(0.01)

    await drop(await broker.fetch())

    assert broker.groups[0] == broker.groups[1]


async def test_what_one_broker_holds_is_no_matter_of_another() -> None:
    broker = Broker()
    await drop(await broker.fetch(1))

    await drop(await broker.fetch(2))

    assert broker.groups[0][1] == broker.groups[1][1]


async def test_a_fetch_is_held_longer_and_longer_while_nothing_moves() -> None:
    broker = Broker()
    for _ in range(6):
        await broker.fetched(fetch_of(1, 3))

    assert broker.waits_ms == [500, 1000, 2000, 4000, 4000, 4000]
    assert broker.waits_ms[-1] == QUIET_FETCH_MAX_WAIT_MS


@pytest.mark.parametrize("other", [fetch_of(1, 3, offset=1), fetch_of(1), fetch_of(1, 3, 5)])
async def test_a_fetch_of_anything_else_is_held_as_shortly_as_the_first(other: FetchRequest) -> None:
    broker = Broker()
    for _ in range(3):
        await broker.fetched(fetch_of(1, 3))

    await broker.fetched(other)

    assert broker.waits_ms[-1] == FETCH_MAX_WAIT_MS


async def test_the_order_in_which_partitions_are_asked_for_is_no_news() -> None:
    broker = Broker()
    await broker.fetched(fetch_of(1, 3))

    await broker.fetched(fetch_of(3, 1))

    assert broker.waits_ms == [500, 1000]


async def test_after_one_nobody_wanted_a_fetch_is_held_shortly() -> None:
    broker = Broker()
    for _ in range(3):
        await broker.fetched(fetch_of(1))
    await drop(await broker.fetch())

    await drop(await broker.fetch())

    assert broker.waits_ms[-2:] == [4000, FETCH_MAX_WAIT_MS]


async def test_a_fetch_without_what_is_to_be_read_now_is_given_up() -> None:
    broker = Broker()
    of_one, of_two = await broker.fetch(1, fetch_of(1, 3)), await broker.fetch(2, fetch_of(2))

    broker.assigned.has(5)
    broker.fetches.look_again([TopicPartition(TOPIC, 5)])
    await asyncio.wait([of_one], timeout=0.1)

    assert of_one.cancelled()
    assert not of_two.done(), "the broker of 5 is another"
    await drop(of_two)


async def test_a_fetch_from_where_a_partition_is_not_read_any_more_is_given_up() -> None:
    broker = Broker()
    task = await broker.fetch(1, fetch_of(1, 3))

    broker.assigned.has(3, position=7)
    broker.fetches.look_again([TopicPartition(TOPIC, 3)])
    await asyncio.wait([task], timeout=0.1)

    assert task.cancelled()


async def test_a_fetch_goes_on_that_asks_for_it_or_is_not_to_ask() -> None:
    broker = Broker()
    task = await broker.fetch(1, fetch_of(1, 3))
    broker.assigned.has(3)
    broker.assigned.has(5, paused=True)
    broker.assigned.has(7, position=None)

    broker.fetches.look_again([TopicPartition(TOPIC, number) for number in (3, 5, 7, 9)])
    await asyncio.wait([task], timeout=0.01)

    assert not task.done()
    await drop(task)


async def test_no_fetch_is_given_up_while_the_broker_holds_one_on_every_connection() -> None:
    broker = Broker()
    for _ in range(FETCH_CONNECTIONS_MAX):
        await drop(await broker.fetch())
    task = await broker.fetch()

    broker.assigned.has(5)
    broker.fetches.look_again([TopicPartition(TOPIC, 5)])
    await asyncio.wait([task], timeout=0.01)

    assert not task.done()
    await drop(task)


async def test_what_is_held_behind_another_ends_after_it() -> None:
    broker = Broker()
    for _ in range(2 * FETCH_CONNECTIONS_MAX):
        await drop(await broker.fetch())

    places = broker.groups
    assert places[:FETCH_CONNECTIONS_MAX] == places[FETCH_CONNECTIONS_MAX:], "the one free first, each time"


async def test_a_fetch_that_leaves_out_what_may_be_asked_for_soon_is_held_shortly() -> None:
    broker = Broker()
    for number in (1, 3):
        broker.assigned.has(number)

    for _ in range(3):
        await broker.fetched(fetch_of(1))

    assert broker.waits_ms == [PARTIAL_FETCH_MAX_WAIT_MS] * 3


async def test_a_fetch_beside_what_is_paused_is_held_shortly_at_first_and_never_long() -> None:
    broker = Broker()
    broker.assigned.has(1)
    broker.assigned.has(3, paused=True)

    for _ in range(6):
        await broker.fetched(fetch_of(1))

    assert broker.waits_ms == [50, 100, 200, 400, 500, 500]
    assert broker.waits_ms[-1] == FETCH_MAX_WAIT_MS


@pytest.mark.parametrize("is_taken_early", [True, False])
async def test_aiokafka_looks_again_when_it_took_the_end_of_a_fetch_too_early(
    is_taken_early: bool,
) -> None:
    broker, looked = Broker(), asyncio.get_running_loop().create_future()
    broker.fetcher._wait_consume_future = looked
    task = await broker.fetch()
    if is_taken_early:
        broker.fetcher._pending_tasks.discard(task)

    await drop(task)
    await asyncio.sleep(0)

    assert broker.looks == ({looked} if is_taken_early else set())


GATHER_S = 0.05


async def when_sent_s(broker: Broker, request: FetchRequest) -> float:
    """Ask, and give how long it took until the broker was asked."""
    loop, before = asyncio.get_running_loop(), len(broker.answers)
    began_s = loop.time()
    task = await broker.fetch(request=request)
    while len(broker.answers) == before:  # noqa: ASYNC110 - what is awaited is the wait under test
        await asyncio.sleep(0.001)
    sent_s = loop.time() - began_s
    await drop(task)
    return sent_s


async def test_what_comes_soon_after_records_is_fetched_with_what_comes_with_it() -> None:
    broker = Broker()
    broker.fetches.gather(GATHER_S)
    await broker.fetched(fetch_of(1, 3))

    assert await when_sent_s(broker, fetch_of(1, 3, offset=1)) >= GATHER_S * 0.9


@pytest.mark.parametrize("other", [fetch_of(1, 3), fetch_of(1, 3, 5), fetch_of(1)])
async def test_nothing_is_waited_for_after_silence_or_when_other_partitions_are_read(
    other: FetchRequest,
) -> None:
    broker = Broker()
    broker.fetches.gather(60.0)
    await broker.fetched(fetch_of(1, 3))

    async with asyncio.timeout(5):
        await when_sent_s(broker, other)


async def test_who_cannot_wait_ends_the_gathering() -> None:
    broker = Broker()
    broker.fetches.gather(60.0)
    await broker.fetched(fetch_of(1))
    task = await broker.fetch(request=fetch_of(1, offset=1))
    assert len(broker.answers) == 1

    broker.fetches.gather(0.0)
    async with asyncio.timeout(5):
        while len(broker.answers) == 1:  # noqa: ASYNC110 - another task appends
            await asyncio.sleep(0.001)

    await drop(task)


async def test_what_is_to_be_read_now_is_not_gathered_for() -> None:
    broker = Broker()
    broker.fetches.gather(60.0)
    await broker.fetched(fetch_of(1))
    task = await broker.fetch(request=fetch_of(1, offset=1))

    broker.assigned.has(3)
    broker.fetches.look_again([TopicPartition(TOPIC, 3)])
    await asyncio.wait([task], timeout=5)

    assert task.cancelled()
    assert len(broker.answers) == 1, "the broker was not asked"
