"""Which connection a request takes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest

from adapters.kafka import fetch_apart
from adapters.kafka.fetch_apart import FETCH_CONNECTIONS_MAX, FETCH_MAX_WAIT_MS

FETCH = FetchRequest(FETCH_MAX_WAIT_MS, 1, 1, 0, [])


class Broker:
    """Takes the place of a client's ``send``: holds what it is sent until told."""

    def __init__(self) -> None:
        self.client = SimpleNamespace(send=self.send)
        self.groups: list[tuple[int, int]] = []
        self.answers: list[asyncio.Future[str]] = []
        fetch_apart.fetch_apart(SimpleNamespace(_client=self.client))

    async def send(self, node_id: int, _request: Any, *, group: int) -> str:
        self.groups.append((node_id, group))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def fetch(self, node_id: int = 1) -> asyncio.Task[str]:
        task: asyncio.Task[str] = asyncio.ensure_future(self.client.send(node_id, FETCH))
        await asyncio.sleep(0)
        return task


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
