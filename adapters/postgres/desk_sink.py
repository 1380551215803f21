"""Writes what the topic ``desk`` says, with the offsets it reaches, in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import LiteralString

import psycopg

from adapters.postgres.sink import PostgresTable
from ports.desk_table import DeskRows
from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from ports.state_table import Move

STAGE = "desk"
"""Whose positions these are in ``stage_offsets``; by them a table that is whole reads on where it was."""

_ACT: LiteralString = """
    INSERT INTO desk_acts (act, what, said_at, said_by, filter, reason, found, rate_per_s, edit)
    VALUES (%(act)s, %(what)s, to_timestamp(%(said_ms)s::bigint / 1000.0), %(said_by)s, %(filter)s,
            %(reason)s, %(found)s, %(rate_per_s)s, %(edit)s)
    ON CONFLICT DO NOTHING
"""
_LETTER: LiteralString = """
    INSERT INTO desk_letters (act, job_id, n, what, at)
    VALUES (%(act)s, %(job_id)s::uuid, %(n)s, %(what)s, to_timestamp(%(at_ms)s::bigint / 1000.0))
    ON CONFLICT DO NOTHING
"""
_END: LiteralString = """
    UPDATE desk_acts SET outcome = %(outcome)s, words = %(words)s,
        ended_at = to_timestamp(%(ended_ms)s::bigint / 1000.0)
    WHERE act = %(act)s AND ended_at IS NULL
"""


class PostgresDesk(PostgresTable):
    """The tables of the desk; connects, waits and fails as the sink of jobs does."""

    def __init__(self, conninfo: str, *, epoch: str, meter: Meter, before: Collection[str]) -> None:
        super().__init__(conninfo, stage=STAGE, epoch=epoch, meter=meter, before=before)

    async def write_desk(self, rows: DeskRows, moves: Mapping[int, Move]) -> None:
        """Merge rows and move the positions, in one transaction. Repeated, it changes nothing more.

        Errors as of ``ports.state_table.StateTable``.
        """
        try:
            with self._answering():
                connection = await self._connected()
                async with connection.transaction(), connection.cursor() as cursor:
                    reached(Failpoint.DESK_OPEN)
                    await self._move(cursor, moves)
                    reached(Failpoint.DESK_MOVED)
                    await self._merge_rows(cursor, _ACT, [row._asdict() for row in rows.acts])
                    await self._merge_rows(cursor, _LETTER, [row._asdict() for row in rows.letters])
                    await self._merge_rows(cursor, _END, [row._asdict() for row in rows.ends])
                    reached(Failpoint.DESK_MERGED)
        except BaseException as error:
            await self._give_up(error)
            raise
        reached(Failpoint.DESK_COMMITTED)
        self._meter.count(Metric.ROWS, len(rows.acts) + len(rows.letters) + len(rows.ends), table=STAGE)

    async def _merge_rows(
        self, cursor: psycopg.AsyncCursor, statement: LiteralString, rows: Sequence[Mapping[str, object]]
    ) -> None:
        if rows:
            await cursor.executemany(statement, rows)
