"""Gathers the evidence: one pass over what was sent, the topics, the table and the effects."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from decimal import Decimal

import msgspec
import psycopg

from adapters.kafka.reader import KafkaReader, reading
from adapters.postgres.refold import each_row, read_positions
from core.log import Record, TopicPartition
from tests.chaos.casebook import Casebook
from tests.chaos.effects import read_effects
from tests.chaos.intake import Intake
from tests.chaos.rig.patience import PATIENCE
from tests.chaos.sent import read_sent
from tests.chaos.stack import Stack

logger = logging.getLogger(__name__)

CATCH_UP_S = 60.0
POLL_S = 0.5
LOOK_AGAIN_S = 0.2
FOLLOW_EVERY_S = 0.5
AGAIN_AFTER_S = 1.0
SIDE_BOOKS_EVERY_S = 5.0
ROWS_AT_ONCE = 2000


class Audit:
    """Reads on from where the last round ended, so that a shared stack is read once.

    Attributes
    ----------
    table_problem
        Why the last round could not compare the table; empty when it could.
    unread
        Records that were trimmed before they were read, by topic. Those of ``jobs`` are made up from
        what the ledger says of them; a repeat among them whose answer was lost is then nobody's.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._routes = stack.routes
        self.book = Casebook(stack.directory / "evidence.db")
        self._intake = Intake(self.book, stack.routes, stack.epoch)
        self._positions: dict[TopicPartition, int] = {}
        self._sent_position = 0
        self._last_seq = 0
        self._gaps: list[tuple[int, int, int]] = []
        self.table_problem = ""
        self.unread: dict[str, int] = {}
        self.book.begin()

    @property
    def leaks(self) -> list[str]:
        """Where a planted secret was found where people look."""
        return self._intake.leaks

    def gather(self) -> None:
        """Read everything new; the book's cases are then about what was new since the last time."""
        with self.book.writing():
            self._gather_sent()
            asyncio.run(self._gather_logs())
            self._gather_effects()
        self.book.fill_gaps(self._gaps)
        self._gaps = []
        self.book.finish()
        self.book.begin()

    def follow(self, stopping: threading.Event) -> None:
        """Read along from a thread until told to stop; what is left is the next ``gather``'s.

        For long runs, in which topics are trimmed behind everybody who is known to read them.
        """
        while not stopping.is_set():
            try:
                asyncio.run(self._follow(stopping))
            except Exception as error:
                # Brokers come and go here; every record taken so far is noted with its position.
                logger.warning("the audit reads on after %r", error)
                stopping.wait(AGAIN_AFTER_S)

    async def _follow(self, stopping: threading.Event) -> None:
        side_books_s = 0.0
        async with self._reader() as reader:
            await self._assign(reader, self._all_partitions())
            while not stopping.is_set():
                records = await reader.poll(POLL_S)
                with self.book.writing():
                    self._take(records)
                    if time.monotonic() - side_books_s > SIDE_BOOKS_EVERY_S:
                        self._gather_sent()
                        self._gather_effects()
                        side_books_s = time.monotonic()
                # Many small answers of many partitions cost more than a few large ones.
                await asyncio.sleep(FOLLOW_EVERY_S)

    def _gather_sent(self) -> None:
        for line, position in read_sent(self._stack.sent.path, self._sent_position):
            self.book.add_sends(line.intend, line.settle)
            self._sent_position = position

    def _gather_effects(self) -> None:
        rows = []
        for effect in read_effects(self._stack.effects_url, self._last_seq):
            self._last_seq = max(self._last_seq, effect.seq)
            rows.append((effect.job_id, effect.seq, effect.kind, *effect[3:]))
            if len(rows) >= ROWS_AT_ONCE:
                self.book.add("effects", rows)
                rows = []
        self.book.add("effects", rows)

    def _reader(self) -> AbstractAsyncContextManager[KafkaReader]:
        return reading(self._stack.kafka, client_id="chaos-audit")

    async def _gather_logs(self) -> None:
        async with self._reader() as reader:
            ledger = self._partitions(self._routes.ledger)
            reached = await self._copy_table(await reader.end_offsets(ledger))
            # Up to where the table was copied, and of the other topics all there is.
            others = [tp for tp in self._all_partitions() if tp not in reached]
            await self._read_to(reader, reached)
            await self._read_to(reader, await reader.end_offsets(others))

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._routes.partitions)]

    def _all_partitions(self) -> list[TopicPartition]:
        return [tp for topic in self._intake.topics for tp in self._partitions(topic)]

    async def _assign(self, reader: KafkaReader, partitions: list[TopicPartition]) -> None:
        """Go on where reading ended, or where the log begins now."""
        for tp, start in (await reader.start_offsets(partitions)).items():
            position = self._positions.setdefault(tp, 0)
            if position < start:
                self.unread[tp.topic] = self.unread.get(tp.topic, 0) + start - position
                self._positions[tp] = start
                if tp.topic == self._routes.jobs:
                    self._gaps.append((tp.partition, position, start))
        await reader.assign({tp: self._positions[tp] for tp in partitions})

    async def _read_to(self, reader: KafkaReader, ends: Mapping[TopicPartition, int]) -> None:
        behind = [tp for tp, end in ends.items() if self._positions.get(tp, 0) < end]
        await self._assign(reader, behind)
        while behind := [tp for tp in behind if self._positions[tp] < ends[tp]]:
            polled = await reader.poll(POLL_S)
            self._take([one for one in polled if one.offset < ends[TopicPartition(one.topic, one.partition)]])
            # Records beyond the ends were polled, too; they are polled again next time.
            self._positions |= {tp: min(reader.position(tp), ends[tp]) for tp in behind}
        # What the reader is asked next would wait behind a fetch that the broker holds for news: half a
        # second for every topic that aiokafka asks for the first time.
        await reader.assign({})

    def _take(self, records: list[Record]) -> None:
        """Write records down, and with them how far reading is: neither without the other."""
        self._intake.take(records)
        for record in records:
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def _copy_table(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Copy the table as soon as it is as far as the ledger; give how far that is."""
        limit_s = PATIENCE.limit_s(CATCH_UP_S)
        deadline_s = time.monotonic() + limit_s
        while True:
            async with await psycopg.AsyncConnection.connect(self._stack.database.conninfo) as connection:
                await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                reached = await read_positions(connection, self._stack.epoch)
                behind = [tp.partition for tp, end in ends.items() if reached.get(tp.partition, 0) < end]
                self.table_problem = (
                    f"the table is behind the ledger on partitions {behind} after {limit_s:.0f} s"
                    if behind
                    else ""
                )
                if not behind or time.monotonic() > deadline_s:
                    await self._copy_rows(connection)
                    return {tp: max(reached.get(tp.partition, 0), end) for tp, end in ends.items()}
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _copy_rows(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        rows: list[tuple[str, str, bytes]] = []
        async for name, row in each_row(connection, self._stack.epoch):
            body = msgspec.json.encode(plain(row), order="sorted")
            self._intake.look_for_secret(body, f"the table's row {name}")
            rows.append((name.split("/")[1], name, body))
            if len(rows) >= ROWS_AT_ONCE:
                self.book.add_fresh(rows)
                rows = []
        self.book.add_fresh(rows)


def plain(row: Mapping[str, object]) -> dict[str, object]:
    """Give a row of ``adapters.postgres.refold`` in a form that JSON keeps; equal rows stay equal."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else f"decimal {value.normalize()}"
        case dict():
            return {key: _plain(member) for key, member in value.items()}
        case list():
            return [_plain(member) for member in value]
        case _:
            return value
