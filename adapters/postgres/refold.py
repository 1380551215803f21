"""Is the table what the log says? A fresh fold of the ledger beside what stands in Postgres."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import psycopg
import sqlalchemy as sa

from adapters.postgres.comparison import Image, KnownFrom
from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.logs import job_logs
from adapters.postgres.tables.retry_decisions import retry_decisions
from adapters.postgres.tables.scores import job_scores
from core.log import Record, TopicPartition
from core.rows import JSON_COLUMNS, Row, complete
from core.rows_table import Table, empty_table, gather
from ports.log import PartitionReader
from ports.snapshots import LedgerTrimmedError, SnapshotReader
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap

STAGE = "materializer"
_POLL_S = 0.5
_ROWS_AT_ONCE = 2000


class TableImage(NamedTuple):
    """The table at one moment, and up to where in the ledger that moment is."""

    positions: dict[int, int]
    rows: Image


def fresh_fold(records: Iterable[Record], epoch: str) -> Image:
    """Fold ledger records, from the log's start, into rows in memory.

    Parameters
    ----------
    records
        In offset order within each partition.

    Raises
    ------
    schemas.ledger.LedgerGapError, core.ledger.fold.WrongEpochError
        The records are not the whole of one ledger.
    """
    table = empty_table()
    gather(table, LedgerFolds(epoch, with_notes=True).take(records))
    return image_of(table)


class Refold(NamedTuple):
    """A fresh fold of all the ledger there is."""

    rows: Image
    known_from: dict[int, KnownFrom]
    """Ledger partitions whose first records are trimmed."""


async def begin_at_start(reader: PartitionReader, routes: RouteMap, epoch: str) -> LedgerFolds:
    """Give folds of all partitions at the first record there is, or soon after.

    Empty where the ledger begins at its beginning; where it was trimmed, from the snapshot at its
    start. Reading goes on at ``next_offset`` of each partition.

    Parameters
    ----------
    reader
        Used for nothing else meanwhile; left assigned to nothing.

    Raises
    ------
    ports.snapshots.LedgerTrimmedError
        The ledger was trimmed and there is no snapshot after its start.
    """
    folds, snapshots = LedgerFolds(epoch, with_notes=True), SnapshotReader(routes, epoch, reader)
    for partition in range(routes.partitions):
        start = await snapshots.log_start(partition)
        if not start:
            continue
        fold = await snapshots.load_first(partition, start)
        if fold is None:
            ledger = TopicPartition(routes.ledger, partition)
            raise LedgerTrimmedError(*ledger, start, (await reader.end_offsets([ledger]))[ledger])
        folds.adopt(partition, fold)
    return folds


async def fold_ledger(
    reader: PartitionReader, routes: RouteMap, epoch: str, until: Mapping[int, int] | None = None
) -> Refold:
    """Read the ledger from its start and fold it; rows whose records are trimmed are not in it.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    until
        Partition to the first offset that no longer counts, as ``read_table`` gives it, so that
        both are of one moment while work goes on; by default the log's end as of now.

    Raises
    ------
    ports.snapshots.LedgerTrimmedError
        The ledger was trimmed and there is no snapshot after its start.
    """
    partitions = [TopicPartition(routes.ledger, number) for number in range(routes.partitions)]
    ends = await reader.end_offsets(partitions)
    if until is not None:
        ends = {tp: min(end, until.get(tp.partition, 0)) for tp, end in ends.items()}
    folds, table = await begin_at_start(reader, routes, epoch), empty_table()
    starts = {tp: folds.next_offset(tp.partition) for tp in partitions}
    first_ms: dict[int, int] = {}
    await reader.assign(starts)
    while any(folds.next_offset(tp.partition) < end for tp, end in ends.items()):
        records = await reader.poll(_POLL_S)
        wanted = [one for one in records if one.offset < ends[TopicPartition(one.topic, one.partition)]]
        for record in wanted:
            first_ms.setdefault(record.partition, record.timestamp_ms)
        gather(table, folds.take(wanted))
    known_from = {
        tp.partition: KnownFrom(offset, first_ms.get(tp.partition)) for tp, offset in starts.items() if offset
    }
    return Refold(image_of(table), known_from)


async def read_table(conninfo: str, epoch: str | None = None) -> TableImage:
    """Read all rows at one moment (one repeatable-read transaction).

    Parameters
    ----------
    epoch
        Give only rows of jobs submitted to this incarnation of the topics (or not known to which),
        and its positions; by default all rows, and no positions.
    """
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        rows = {name: row async for name, row in each_row(connection, epoch)}
        return TableImage(await read_positions(connection, epoch or ""), rows)


async def each_row(
    connection: psycopg.AsyncConnection[tuple[object, ...]], epoch: str | None = None
) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """Give every row with its name, in the normal form of ``Image``, without holding them all in memory."""
    for reading in map(_Rows, (jobs, job_attempts, job_logs, job_scores, retry_decisions)):
        async with connection.cursor(f"each_{reading.table}") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            await cursor.execute(reading.query(epoch), {"epoch": epoch})
            async for values in cursor:
                yield reading.name(values), reading.normal(values)


async def read_positions(
    connection: psycopg.AsyncConnection[tuple[object, ...]], epoch: str
) -> dict[int, int]:
    """Give how far the rows are in each partition of the ledger, as the transaction sees them."""
    found = await connection.execute(
        "SELECT partition, next_offset FROM stage_offsets WHERE stage = %s AND epoch = %s", (STAGE, epoch)
    )
    return {int(str(partition)): int(str(offset)) for partition, offset in await found.fetchall()}


def image_of(table: Table) -> Image:
    """Give the rows of a table in memory in normal form."""
    image = {f"jobs/{job_id}": _normal(complete(row)) for job_id, row in table.jobs.items()}
    image |= {f"job_attempts/{job_id}/{n}": _normal(row) for (job_id, n), row in table.attempts.items()}
    image |= {f"job_logs/{job_id}/{n}/{seq}": _normal(row) for (job_id, n, seq), row in table.logs.items()}
    image |= {f"job_scores/{job_id}/{n}": _normal(row) for (job_id, n), row in table.scores.items()}
    image |= {f"retry_decisions/{job_id}/{n}": _normal(row) for (job_id, n), row in table.choices.items()}
    return image


def _normal(row: Row) -> dict[str, object]:
    normal: dict[str, object] = dict(row)
    for column in JSON_COLUMNS & row.keys():
        normal[column] = _parsed(str(row[column]))
    return normal


def _parsed(text: str) -> object:
    """Parse JSON as Postgres stores it: numbers exactly, so 1.0, 1 and 1e0 are equal."""
    return json.loads(text, parse_float=Decimal)


class _Rows:
    """Names the columns of one table as they are read, and puts each value into normal form."""

    def __init__(self, table: sa.Table) -> None:
        self._keys = len(table.primary_key.columns)
        self._names = [column.name for column in table.columns]
        self.table = table.name
        self._select = ", ".join(_selected(column) for column in table.columns)

    def query(self, epoch: str | None) -> str:
        query = f"SELECT {self._select} FROM {self.table}"  # noqa: S608 - names of our own
        if epoch is None:
            return query
        other = "SELECT job_id FROM jobs WHERE origin_epoch <> %(epoch)s"
        return f"{query} WHERE job_id NOT IN ({other})"

    def name(self, values: tuple[object, ...]) -> str:
        return "/".join([self.table, *(str(key) for key in values[: self._keys])])

    def normal(self, values: tuple[object, ...]) -> dict[str, object]:
        named = zip(self._names[self._keys :], values[self._keys :], strict=True)
        return {
            name: _parsed(str(value)) if name in JSON_COLUMNS else value
            for name, value in named
            if value is not None
        }


def _selected(column: sa.Column[object]) -> str:
    match column.type:
        case sa.DateTime():
            return f'round(extract(epoch FROM "{column.name}") * 1000)::bigint'
        case sa.Uuid():
            return f'"{column.name}"::text'
        case sa.LargeBinary():
            return f"encode(\"{column.name}\", 'hex')"
        case _ if column.name in JSON_COLUMNS:
            return f'"{column.name}"::text'
        case _:
            return f'"{column.name}"'
