"""Has everything ended? Asked of the log's ends, the committed offsets and the table."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.reader import KafkaReader
from adapters.postgres.refold import read_positions
from core.log import TopicPartition
from core.states import TERMINAL
from tests.chaos.rig.patience import PATIENCE
from tests.chaos.stack import Stack

LOOK_EVERY_S = 0.5
ASK_TIMEOUT_S = 10.0
_UNFINISHED = "select count(*) from jobs where state <> all(%s)"


def wait_until_all_ended(stack: Stack, timeout_s: float) -> str:
    """Wait until nothing is under way any more, with the patience of this process.

    All of ``jobs`` is taken in, every gate and every closure is worked on, the table has the whole
    ledger, and no job in it is open: twice in a row, since a record may be on its way between two topics.

    Returns
    -------
    str
        What was still missing at the deadline; empty when everything has ended.
    """
    return asyncio.run(_wait(stack, PATIENCE.limit_s(timeout_s)))


async def _wait(stack: Stack, timeout_s: float) -> str:
    deadline_s = time.monotonic() + timeout_s
    looks = _Looks()
    while not looks.rested and time.monotonic() < deadline_s:
        with contextlib.suppress(Exception):
            # A server still away is what the deadline is for.
            await _look_on(stack, looks, deadline_s)
        await asyncio.sleep(LOOK_EVERY_S)
    if looks.rested:
        return ""
    return looks.missing or "the ledger does not come to rest"


@dataclass
class _Looks:
    """What the last look showed."""

    missing: str = "nobody answers"
    ends: dict[TopicPartition, int] | None = None
    """Of the ledger, when nothing was missing."""
    rested: bool = False

    def see(self, missing: str, ends: dict[TopicPartition, int]) -> None:
        """Take one look."""
        self.rested = not missing and self.ends == ends
        self.missing, self.ends = missing, None if missing else ends


async def _look_on(stack: Stack, looks: _Looks, deadline_s: float) -> None:
    """Look over one set of connections until everything has come to rest, or one of them fails."""
    reader = KafkaReader(stack.kafka, client_id="chaos-liveness")
    admin: Any = AIOKafkaAdminClient(**stack.kafka.client_options())
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            await reader.start()
            await admin.start()
        while not looks.rested and time.monotonic() < deadline_s:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                looks.see(*await _look(stack, reader, admin))
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await reader.close()
        await admin.close()


async def _look(stack: Stack, reader: KafkaReader, admin: Any) -> tuple[str, dict[TopicPartition, int]]:
    """Give what is missing, and where the ledger ends."""
    routes = stack.routes
    behind: list[str] = []
    ends: dict[TopicPartition, int] = {}
    for group, topic in (
        ("ingest", routes.jobs),
        ("scheduler", routes.gates),
        ("dlq_handler", routes.ledger),
    ):
        ends = await reader.end_offsets(
            [TopicPartition(topic, number) for number in range(routes.partitions)]
        )
        committed = await admin.list_consumer_group_offsets(routes.group(group))
        lag = sum(end - _offset(committed, tp) for tp, end in ends.items())
        if lag > 0:
            behind.append(f"{group} is {lag} records behind")
    behind += await _table_lacks(stack, ends)
    return ", ".join(behind), ends


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
