"""Commits of a member whose coordinator does not answer; the rest of a member is in the contract suite."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from adapters.kafka import group
from adapters.kafka.clock import BrokerClock
from adapters.kafka.group import KafkaGroupMember
from core.log import TopicPartition
from penstock.connection import KafkaConnection
from ports.log import Assignment

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


class Coordinator:
    """Stands in for aiokafka's ``commit``: silent until it is told to answer."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answer = asyncio.Event()
        self.refusal: Exception | None = None

    async def commit(self, offsets: dict[Any, Any]) -> None:
        self.asked.extend(offset.offset for offset in offsets.values())
        await self.answer.wait()
        if self.refusal is not None:
            raise self.refusal

    async def starts(self, wanted: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(wanted, 0)

    async def forgetful(self, _place: Any) -> int:
        return 3


@pytest.fixture
async def member(monkeypatch: pytest.MonkeyPatch) -> KafkaGroupMember:
    monkeypatch.setattr(group, "COMMIT_TIMEOUT_S", 0.05)
    made = KafkaGroupMember(KafkaConnection(), BrokerClock(), group="g", instance="i", topics=["t"])
    made._assignment = Assignment(1, frozenset({0}))
    made._owned = {T0}
    made._rebalancing = False
    consumer: Any = made._consumer
    consumer._closed = True
    consumer._subscription.subscribe(topics={"t"})
    return made


@pytest.fixture
def coordinator(member: KafkaGroupMember) -> Coordinator:
    consumer: Any = member._consumer
    made = Coordinator()
    consumer.commit = made.commit
    return made


async def test_a_commit_without_an_answer_is_given_up_in_time(
    member: KafkaGroupMember, coordinator: Coordinator
) -> None:
    async with asyncio.timeout(5):
        assert not await member.commit(1, {T0: 5})
    assert coordinator.asked == [5]


async def test_no_commit_overtakes_one_that_is_under_way(
    member: KafkaGroupMember, coordinator: Coordinator
) -> None:
    assert not await member.commit(1, {T0: 5})
    assert not await member.commit(1, {T0: 6})
    assert coordinator.asked == [5]
    coordinator.answer.set()
    # The answer is about 5; 6 was never sent, and the caller comes again with it.
    assert not await member.commit(1, {T0: 6})
    assert member.committed(T0) == 5
    assert await member.commit(1, {T0: 6})
    assert coordinator.asked == [5, 6]


async def test_a_commit_under_way_ends_with_the_assignment_it_belongs_to(
    member: KafkaGroupMember, coordinator: Coordinator
) -> None:
    """aiokafka would send it again under the next generation, and move the next owner's offset back."""
    assert not await member.commit(1, {T0: 5})
    member.on_rebalance()
    coordinator.answer.set()
    await asyncio.sleep(0)
    assert not await member.commit(1, {T0: 6})
    member._rebalancing = False
    assert not await member.commit(1, {T0: 6})
    assert T0 not in member._committed
    assert await member.commit(1, {T0: 6})


async def test_what_was_committed_here_counts_although_the_broker_forgot_it(
    member: KafkaGroupMember, coordinator: Coordinator
) -> None:
    coordinator.answer.set()
    assert await member.commit(1, {T0: 8})
    consumer: Any = member._consumer
    sought: dict[Any, int] = {}
    consumer.seek = sought.__setitem__
    consumer.pause = lambda *_: None
    consumer.beginning_offsets = coordinator.starts
    consumer.committed = coordinator.forgetful
    member._assignment = Assignment(2, frozenset())
    await member.on_assigned({T0, T1})
    assert (member.committed(T0), member.committed(T1)) == (8, 3)
    assert sought == {T0: 8, T1: 3}


async def test_what_no_answer_can_mend_is_raised_even_when_it_comes_late(
    member: KafkaGroupMember, coordinator: Coordinator
) -> None:
    coordinator.refusal = TopicAuthorizationFailedError("t")
    assert not await member.commit(1, {T0: 5})
    coordinator.answer.set()
    with pytest.raises(TopicAuthorizationFailedError):
        await member.commit(1, {T0: 6})
