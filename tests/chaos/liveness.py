"""Has everything ended? Asked of the log's ends, the committed offsets and the table."""

import asyncio
import contextlib
import time
from typing import Any

import psycopg
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.reader import KafkaReader
from adapters.postgres.refold import read_positions
from core.log import TopicPartition
from core.states import TERMINAL
from tests.chaos.stack import Stack

LOOK_EVERY_S = 0.5
ASK_TIMEOUT_S = 10.0
_UNFINISHED = "select count(*) from jobs where state <> all(%s)"


def wait_until_all_ended(stack: Stack, timeout_s: float) -> str:
    """Wait until nothing is under way any more.

    All of ``jobs`` is taken in, every gate and every closure is worked on, the table has the whole
    ledger, and no job in it is open: twice in a row, since a record may be on its way between two topics.

    Returns
    -------
    str
        What was still missing at the deadline; empty when everything has ended.
    """
    return asyncio.run(_wait(stack, timeout_s))


async def _wait(stack: Stack, timeout_s: float) -> str:
    deadline_s = time.monotonic() + timeout_s
    missing, quiet_before = "nobody answers", None
    while time.monotonic() < deadline_s:
        with contextlib.suppress(Exception):
            # A server still away is what the deadline is for.
            async with asyncio.timeout(ASK_TIMEOUT_S):
                missing, ends = await _look(stack)
            if not missing and ends == quiet_before:
                return ""
            quiet_before = ends if not missing else None
        await asyncio.sleep(LOOK_EVERY_S)
    return missing or "the ledger does not come to rest"


async def _look(stack: Stack) -> tuple[str, dict[TopicPartition, int]]:
    """Give what is missing, and where the ledger ends."""
    routes = stack.routes
    reader = KafkaReader(stack.kafka, client_id="chaos-liveness")
    admin: Any = AIOKafkaAdminClient(**stack.kafka.client_options())
    try:
        await reader.start()
        await admin.start()
        behind: list[str] = []
        for group, topic in (
            ("ingest", routes.jobs),
            ("scheduler", routes.gates),
            ("dlq_handler", routes.ledger),
        ):
            partitions = [TopicPartition(topic, number) for number in range(routes.partitions)]
            ends = await reader.end_offsets(partitions)
            committed = await admin.list_consumer_group_offsets(routes.group(group))
            lag = sum(end - _offset(committed, tp) for tp, end in ends.items())
            if lag > 0:
                behind.append(f"{group} is {lag} records behind")
        behind += await _table_lacks(stack, ends)
        return ", ".join(behind), ends
    finally:
        await reader.close()
        await admin.close()


def _offset(committed: Any, partition: TopicPartition) -> int:
    for place, known in committed.items():
        if (place.topic, place.partition) == partition:
            return max(0, int(known.offset))
    return 0


async def _table_lacks(stack: Stack, ends: dict[TopicPartition, int]) -> list[str]:
    async with await psycopg.AsyncConnection.connect(stack.database.conninfo) as connection:
        reached = await read_positions(connection, stack.epoch)
        lag = sum(end - reached.get(tp.partition, 0) for tp, end in ends.items())
        if lag > 0:
            return [f"the table is {lag} records behind"]
        found = await connection.execute(_UNFINISHED, ([str(state) for state in TERMINAL],))
        row = await found.fetchone()
    return [f"{row[0]} jobs have not ended"] if row is not None and row[0] else []
