"""Waiting for what a log gives, with a deadline."""

import asyncio
from collections.abc import Callable

from core.log import NewRecord, Record
from ports.log import Batch, GroupMember, PartitionReader

DEADLINE_S = 15.0
"""Far above the second after which a real member notices that somebody joined."""


def record(topic: str, partition: int, text: str) -> NewRecord:
    return NewRecord(topic, partition, b"key", text.encode(), (("kind", b"TEST"),))


def texts(records: list[Record]) -> list[str]:
    return [(one.value or b"").decode() for one in records]


async def read(reader: PartitionReader, count: int) -> list[Record]:
    """Poll until ``count`` records are there."""
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(records) < count:
            records += await reader.poll(0.5)
    return records


async def take(member: GroupMember, count: int) -> Batch:
    """Poll until ``count`` records of one assignment are there."""
    batch = Batch(0, [])
    async with asyncio.timeout(DEADLINE_S):
        while len(batch.records) < count:
            more = await member.poll(0.5)
            known = batch.records if more.assignment == batch.assignment else []
            batch = Batch(more.assignment, known + more.records)
    return batch


async def until_assigned(
    *members: GroupMember, when: Callable[[], bool], deadline_s: float = DEADLINE_S
) -> None:
    """Poll all members, in turns, until the condition on their assignments holds."""
    async with asyncio.timeout(deadline_s):
        while not when():
            for member in members:
                await member.poll(0.05)
