"""Writes batches of rows: one transaction, positions first, staged by COPY, merged by one statement each."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import psycopg
import sqlalchemy as sa

from adapters.postgres.copy_format import RowPacker
from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.logs import job_logs
from adapters.postgres.tables.retry_decisions import retry_decisions
from adapters.postgres.tables.scores import job_scores
from adapters.postgres.upsert import copy_statement, staging_name, staging_statements, upsert_statement
from core.rows import ROWS_VERSION, Row, Value, complete
from core.rows_table import Table
from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from ports.state_table import Move, OffsetsMovedError, TableUnavailableError, TableUnusableError

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 10
"""Who holds a lock for longer is waited for outside a transaction, so that the service can be stopped."""
STATEMENT_TIMEOUT_S = 30
ANSWER_TIMEOUT_S = 50.0
"""Everything of one call must be done by then, or the connection is cut; below the minute after which a loop
counts as stuck. A stopped server acknowledges packets for ever, and keepalives with them."""
IDLE_TRANSACTION_TIMEOUT_S = 60
"""The server ends the transaction of a writer that was stopped inside it, and with it its locks."""
_BOUNDS = (
    f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'",
    f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'",
    f"SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_TIMEOUT_S}s'",
    # Known plans: compiling them or replanning for values would only cost.
    "SET jit = off",
)

_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    # After a failover the address may still lead to the standby.
    psycopg.errors.ReadOnlySqlTransaction,
)
_OTHER_SCHEMA = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.DatatypeMismatch,
    psycopg.errors.NotNullViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.InvalidColumnReference,
)
_FOREIGN = "SELECT DISTINCT epoch FROM stage_offsets WHERE stage = %s AND epoch <> ALL(%s) ORDER BY 1"

_ENSURE = """
    INSERT INTO stage_offsets (stage, epoch, partition, next_offset)
    SELECT %s, %s, p, 0 FROM unnest(%s::int[]) AS p ON CONFLICT DO NOTHING
"""
_READ = (
    "SELECT partition, next_offset FROM stage_offsets WHERE stage = %s AND epoch = %s AND partition = ANY(%s)"
)
# What an older writer wrote behind ``rows_offset`` stays so until a service that starts goes back there.
_MOVE = f"""
    UPDATE stage_offsets AS t SET next_offset = m.new,
        rows_version = greatest(t.rows_version, {ROWS_VERSION}),
        rows_offset = CASE
            WHEN t.rows_version = {ROWS_VERSION} AND t.rows_offset < m.old OR t.rows_version > {ROWS_VERSION}
            THEN t.rows_offset ELSE m.new END
    FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS m (partition, old, new)
    WHERE t.stage = %s AND t.epoch = %s AND t.partition = m.partition AND t.next_offset = m.old
"""  # noqa: S608 - a constant of our own

_LEFT_BEHIND = """
    SELECT partition, rows_offset FROM stage_offsets
    WHERE stage = %s AND epoch = %s AND partition = ANY(%s)
      AND rows_version = %s AND rows_offset < next_offset
"""
_GO_BACK = """
    UPDATE stage_offsets AS t SET next_offset = m.at, rows_version = NULL, rows_offset = NULL
    FROM unnest(%s::int[], %s::bigint[]) AS m (partition, at)
    WHERE t.stage = %s AND t.epoch = %s AND t.partition = m.partition AND t.next_offset > m.at
"""

STAGED_MAX_BYTES = 33_554_432
"""So much is deleted from a staging table before it is truncated: nobody vacuums temporary tables."""

Packed = tuple[tuple[Value, ...], Row]


class SchemaError(TableUnusableError):
    """The database has not the tables this version writes; the message names the remedy."""


class ForeignTableError(TableUnusableError):
    """The tables belong to another pipeline; the message names the remedy."""


class _Target:
    """One table with its statements and packer, made once."""

    def __init__(self, table: sa.Table, rows_of: Callable[[Table], Iterable[Packed]]) -> None:
        self.name = table.name
        self.rows_of = rows_of
        self.packer = RowPacker(table)
        self.staging = staging_statements(table)
        self.copy = copy_statement(table)
        self.upsert = upsert_statement(table)
        self.truncate = f"TRUNCATE {staging_name(table)}"


_TARGETS = (
    _Target(jobs, lambda rows: (((job_id,), complete(row)) for job_id, row in rows.jobs.items())),
    _Target(job_attempts, lambda rows: rows.attempts.items()),
    _Target(job_logs, lambda rows: rows.logs.items()),
    _Target(job_scores, lambda rows: rows.scores.items()),
    _Target(retry_decisions, lambda rows: rows.choices.items()),
)


class PostgresTable:
    """A ``StateTable`` on psycopg; one connection, opened when needed, dropped on any failure.

    Parameters
    ----------
    conninfo
        Address; holds the password.
    stage, epoch
        Whose positions these are.
    before
        Earlier epochs of the same pipeline: the tables must hold positions of no others. None: any may.
    """

    def __init__(
        self, conninfo: str, *, stage: str, epoch: str, meter: Meter, before: Collection[str] | None = None
    ) -> None:
        self._conninfo = conninfo
        self._stage = stage
        self._epoch = epoch
        self._meter = meter
        self._known = None if before is None else [epoch, *before]
        self._connection: psycopg.AsyncConnection | None = None
        self._staged_bytes: dict[str, int] = {}
        """Bytes that went through each staging table of this session since it was truncated."""

    async def positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """See ``ports.state_table.StateTable.positions``."""
        wanted = sorted(partitions)
        async with self._asking() as connection:
            reached(Failpoint.POSITIONS_WANTED)
            async with connection.transaction(), connection.cursor() as cursor:
                await self._refuse_foreign(cursor)
                await cursor.execute(_ENSURE, (self._stage, self._epoch, wanted))
                await cursor.execute(_READ, (self._stage, self._epoch, wanted))
                positions: dict[int, int] = dict(await cursor.fetchall())
        reached(Failpoint.POSITIONS_ENSURED)
        return positions

    async def left_behind(self, partitions: Iterable[int]) -> dict[int, int]:
        """See ``ports.state_table.StateTable.left_behind``."""
        asked = (self._stage, self._epoch, sorted(partitions), ROWS_VERSION)
        async with self._asking() as connection:
            found = await connection.execute(_LEFT_BEHIND, asked)
            return dict(await found.fetchall())

    async def go_back(self, offsets: Mapping[int, int]) -> None:
        """See ``ports.state_table.StateTable.go_back``."""
        ordered = sorted(offsets.items())
        partitions, places = [one for one, _ in ordered], [offset for _, offset in ordered]
        async with self._asking() as connection:
            await connection.execute(_GO_BACK, (partitions, places, self._stage, self._epoch))

    async def write(self, rows: Table, moves: Mapping[int, Move]) -> None:
        """See ``ports.state_table.StateTable.write``."""
        packed = _pack(rows)
        async with (
            self._asking() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            reached(Failpoint.TABLE_OPEN)
            await self._move(cursor, moves)
            reached(Failpoint.POSITIONS_MOVED)
            for target, data, _ in packed:
                await self._merge(cursor, target, data)
                reached(Failpoint.ROWS_MERGED)
        reached(Failpoint.TABLE_COMMITTED)
        for target, _, count in packed:
            self._meter.count(Metric.ROWS, count, table=target.name)

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Connect where needed, bound how long everything takes, and translate what goes wrong."""
        try:
            with self._answering():
                yield await self._connected()
        except BaseException as error:
            await self._give_up(error)
            raise

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Cut the connection when the block takes too long; what waits on it fails as if it had been lost.

        Cancelling would not do: psycopg 3.3 then asks the server to stop, and waits for that too.
        """
        timer = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._cut)
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        if self._connection is not None and not self._connection.closed:
            logger.warning("Postgres has not answered for %.0f s; cutting the connection", ANSWER_TIMEOUT_S)
            with socket.socket(fileno=os.dup(self._connection.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)

    async def _refuse_foreign(self, cursor: psycopg.AsyncCursor) -> None:
        if self._known is None:
            return
        await cursor.execute(_FOREIGN, (self._stage, self._known))
        foreign = [str(row[0]) for row in await cursor.fetchall()]
        if foreign:
            raise ForeignTableError(
                f"the tables hold rows of epoch {', '.join(foreign)}, which is no earlier epoch of this "
                f"one ({self._epoch}): PENSTOCK_DATABASE_URL or PENSTOCK_KAFKA_BOOTSTRAP names another "
                "pipeline. If its topics are gone for good, "
                f"`penstock epoch forget {foreign[0]}` keeps the rows and goes on."
            )

    async def _move(self, cursor: psycopg.AsyncCursor, moves: Mapping[int, Move]) -> None:
        # In order of partition, so that two writers wait for each other instead of deadlocking.
        ordered = sorted(moves.items())
        partitions = [partition for partition, _ in ordered]
        olds, news = [move.old for _, move in ordered], [move.new for _, move in ordered]
        await cursor.execute(_MOVE, (partitions, olds, news, self._stage, self._epoch))
        if cursor.rowcount != len(moves):
            raise OffsetsMovedError(
                f"{len(moves) - cursor.rowcount} of the partitions {partitions} are not where they were left"
            )

    async def _merge(self, cursor: psycopg.AsyncCursor, target: _Target, data: bytes) -> None:
        async with cursor.copy(target.copy) as copy:
            await copy.write(data)
        await cursor.execute(target.upsert)
        staged = self._staged_bytes.get(target.name, 0) + len(data)
        if staged >= STAGED_MAX_BYTES:
            await cursor.execute(target.truncate)
            staged = 0
        self._staged_bytes[target.name] = staged

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            connection = await psycopg.AsyncConnection.connect(
                self._conninfo,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name=f"penstock {self._stage}",
                prepare_threshold=1,
                autocommit=True,
                # A server that vanished without a word is noticed after about 25 s.
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=30_000,
            )
            # Set before the rest: a failure below must close it.
            self._connection = connection
            self._staged_bytes.clear()
            for statement in _BOUNDS:
                await connection.execute(statement)
            for target in _TARGETS:
                for statement in target.staging:
                    await connection.execute(statement)
            logger.info("connected to Postgres at %s:%s", connection.info.host, connection.info.port)
        return self._connection

    async def _give_up(self, error: BaseException) -> None:
        """Drop the connection unless it is certainly good, and translate the error."""
        if isinstance(error, OffsetsMovedError):
            return
        await self.close()
        if isinstance(error, _UNAVAILABLE):
            raise TableUnavailableError(str(error).strip() or type(error).__name__) from error
        said = str(error).strip().partition("\n")[0]
        if isinstance(error, _OTHER_SCHEMA):
            raise SchemaError(
                f"the tables do not take what this version writes ({said}): run `python -m adapters.prepare` "
                "of the newest version that uses this database"
            ) from error
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise TableUnusableError(
                f"{said}: PENSTOCK_DATABASE_URL needs a role that owns the tables, or may read and write them"
            ) from error


def _pack(rows: Table) -> list[tuple[_Target, bytes, int]]:
    """Pack before the transaction: while packing, no lock is held."""
    packed: list[tuple[_Target, bytes, int]] = []
    for target in _TARGETS:
        listed = list(target.rows_of(rows))
        if listed:
            packed.append((target, target.packer.pack(listed), len(listed)))
    return packed
