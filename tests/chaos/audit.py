"""Gathers the evidence: one pass over what was sent, the topics, the table and the effects."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from decimal import Decimal

import msgspec
import psycopg

from adapters.kafka.reader import KafkaReader
from adapters.postgres.refold import each_row, read_positions
from core.log import Record, TopicPartition
from penstock.client.submission import canonical_id
from penstock.identity import Origin, job_id_from_key, job_id_from_origin
from schemas.codec import decode_dead, decode_failed
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.rejected import RejectedRecord
from tests.chaos.case import Letter
from tests.chaos.casebook import Casebook
from tests.chaos.effects import read_effects
from tests.chaos.orders import SECRET_MARK, TRACE_HEADER, send_of
from tests.chaos.sent import read_sent
from tests.chaos.stack import Stack

CATCH_UP_S = 60.0
POLL_S = 0.5
LOOK_AGAIN_S = 0.2
ROWS_AT_ONCE = 2000
LEAKS_MAX = 20
_MARK = SECRET_MARK.encode()


class _Named(msgspec.Struct):
    """What of a producer's record names the job."""

    job_id: str | None = None
    idempotency_key: str | None = None
    tenant: str | None = None


_NAMED = msgspec.json.Decoder(_Named)
_REJECTED = msgspec.json.Decoder(RejectedRecord)


class Audit:
    """Reads on from where the last round ended, so that a shared stack is read once.

    Attributes
    ----------
    leaks
        Where a planted secret was found where people look.
    table_problem
        Why the last round could not compare the table; empty when it could.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._routes = stack.routes
        self.book = Casebook(stack.directory / "evidence.db")
        self._folds = LedgerFolds(stack.epoch, with_notes=True)
        self._positions: dict[TopicPartition, int] = {}
        self._sent_position = 0
        self._last_seq = 0
        self.leaks: list[str] = []
        self.table_problem = ""

    def gather(self) -> None:
        """Read everything new; the book's cases are then about what was new."""
        self.book.begin()
        self._gather_sent()
        asyncio.run(self._gather_logs())
        self._gather_effects()
        self.book.finish()

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

    async def _gather_logs(self) -> None:
        reader = KafkaReader(self._stack.kafka, client_id="chaos-audit")
        await reader.start()
        try:
            ledger = self._partitions(self._routes.ledger)
            ends = await self._copy_table(await reader.end_offsets(ledger))
            async for records in self._read(reader, ends):
                self.book.add("events", [_event_row(*pair) for pair in self._fold(records)])
            for topic, take in (
                (self._routes.jobs, self._records),
                (self._routes.rejected, self._rejected),
                (self._routes.dlq, self._letters),
                (self._routes.dead, self._letters),
            ):
                ends = await reader.end_offsets(self._partitions(topic))
                async for records in self._read(reader, ends):
                    take(records)
        finally:
            await reader.close()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._routes.partitions)]

    async def _read(
        self, reader: KafkaReader, ends: Mapping[TopicPartition, int]
    ) -> AsyncIterator[list[Record]]:
        await reader.assign({})
        starts = {tp: self._positions.get(tp, 0) for tp in ends}
        await reader.assign({tp: start for tp, start in starts.items() if start < ends[tp]})
        behind = {tp for tp, start in starts.items() if start < ends[tp]}
        while behind:
            polled = await reader.poll(POLL_S)
            yield [one for one in polled if one.offset < ends[TopicPartition(one.topic, one.partition)]]
            behind = {tp for tp in behind if reader.position(tp) < ends[tp]}
        self._positions |= ends

    async def _copy_table(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Copy the table as soon as it is as far as the ledger; give how far that is."""
        deadline_s = time.monotonic() + CATCH_UP_S
        while True:
            async with await psycopg.AsyncConnection.connect(self._stack.database.conninfo) as connection:
                await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                reached = await read_positions(connection, self._stack.epoch)
                behind = [tp.partition for tp, end in ends.items() if reached.get(tp.partition, 0) < end]
                self.table_problem = (
                    f"the table is behind the ledger on partitions {behind} after {CATCH_UP_S:.0f} s"
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
            self._look_for_secret(body, f"the table's row {name}")
            rows.append((name.split("/")[1], name, body))
            if len(rows) >= ROWS_AT_ONCE:
                self.book.add_fresh(rows)
                rows = []
        self.book.add_fresh(rows)

    def _fold(self, records: list[Record]) -> Iterator[tuple[FoldedEvent, bytes]]:
        """Fold one record after the other, each with its bytes; later ones change what it points to."""
        for record in records:
            value = record.value or b""
            self._look_for_secret(value, f"the event {record.topic}/{record.partition}/{record.offset}")
            for folded in self._folds.take([record]):
                yield folded, value

    def _records(self, records: list[Record]) -> None:
        rows = []
        for record in records:
            job, send = self._name(record)
            rows.append((job, record.partition, record.offset, record.timestamp_ms, send))
        self.book.add("records", rows)

    def _name(self, record: Record) -> tuple[str, int | None]:
        """Say which job a record names, as ingest does, and which send it is."""
        send = send_of(record.header(TRACE_HEADER))
        try:
            named = _NAMED.decode(record.value or b"")
            supplied = named.job_id and canonical_id(named.job_id)
        except (msgspec.DecodeError, ValueError):
            return f"jobs/{record.partition}/{record.offset}", send
        if supplied:
            return supplied, send
        if named.idempotency_key:
            return job_id_from_key(named.tenant or "default", named.idempotency_key), send
        origin = Origin(self._stack.epoch, record.partition, record.offset)
        return job_id_from_origin(origin, record.timestamp_ms), send

    def _rejected(self, records: list[Record]) -> None:
        rows = []
        for record in records:
            said = _REJECTED.decode(record.value or b"")
            told = msgspec.json.encode((said.message, said.remedy, said.field, said.value_excerpt))
            self._look_for_secret(told, f"what {record.topic}/{record.partition}/{record.offset} says")
            rows.append((said.partition, said.offset, record.offset, said.reason, told))
        self.book.add("rejected", rows)

    def _letters(self, records: list[Record]) -> None:
        self.book.add("letters", [self._letter(record) for record in records])

    def _letter(self, record: Record) -> tuple[object, ...]:
        is_dead = record.topic == self._routes.dead
        last = decode_dead(record).last if is_dead else decode_failed(record)
        # The job inside is the producer's own, unmasked: these topics are for services and the desk.
        told = msgspec.json.encode((last.message, last.error_type, last.traceback, last.log_tail))
        self._look_for_secret(told, f"what {record.topic}/{record.partition}/{record.offset} says")
        letter = Letter(
            is_dead,
            record.partition,
            record.offset,
            last.job.origin,
            last.job.n,
            last.job.attempt,
            last.error_class,
            last.message,
        )
        return (last.job.job_id, *letter)

    def _look_for_secret(self, content: bytes, place: str) -> None:
        if _MARK in content and len(self.leaks) < LEAKS_MAX:
            self.leaks.append(place)


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


def _event_row(event: FoldedEvent, raw: bytes) -> tuple[object, ...]:
    place = (event.event.job_id, event.partition, event.offset, event.timestamp_ms, raw)
    outcome = event.outcome
    if outcome is None:
        return (*place, 0, 0, None, 0, 0, 0, 0)
    state = None if outcome.state is None else str(outcome.state)
    return (
        *place,
        1,
        outcome.holds,
        state,
        outcome.rank,
        outcome.closed_n,
        outcome.late,
        outcome.job is not None,
    )
