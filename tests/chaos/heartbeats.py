"""How long executors were silent, by the broker's clock: what a lease is judged by."""

from collections.abc import AsyncIterator

from adapters.kafka.reader import reading
from core.log import TopicPartition
from schemas.codec import decode_executor
from schemas.executors import Heartbeat
from tests.chaos.stack import Stack

POLL_S = 0.5


async def longest_silences_s(stack: Stack, begin_ms: int) -> dict[str, float]:
    """Give each boot id's longest time between two heartbeats that ended since then, seconds."""
    last_ms: dict[str, int] = {}
    silences_s: dict[str, float] = {}
    async for at_ms, executor in _heartbeats(stack):
        if at_ms >= begin_ms and executor in last_ms:
            silence_s = (at_ms - last_ms[executor]) / 1000
            silences_s[executor] = max(silence_s, silences_s.get(executor, 0.0))
        last_ms[executor] = at_ms
    return silences_s


async def _heartbeats(stack: Stack) -> AsyncIterator[tuple[int, str]]:
    topic = TopicPartition(stack.routes.executors, 0)
    async with reading(stack.kafka, client_id="chaos-heartbeats") as reader:
        end = (await reader.end_offsets([topic]))[topic]
        await reader.assign(await reader.start_offsets([topic]))
        while reader.position(topic) < end:
            for record in await reader.poll(POLL_S):
                beat = decode_executor(record)
                if isinstance(beat, Heartbeat):
                    yield record.timestamp_ms, beat.executor
