"""Writes what the topic ``schedules`` says, with the offsets it reaches, in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import LiteralString

import psycopg

from adapters.postgres.sink import PostgresTable
from ports.failpoints import Failpoint, reached
from ports.meter import Meter, Metric
from ports.schedule_table import ScheduleRows
from ports.state_table import Move

STAGE = "schedules"
"""Whose positions these are in ``stage_offsets``; by them a table that is whole reads on where it was."""

_DEFINE: LiteralString = """
    INSERT INTO schedules AS t (name, incarnation, version, state, ticks, zone, tenant, type, pool, catch_up,
                                overlap, definition, next_tick, fired, changed_at, changed_by)
    VALUES (%(name)s, %(incarnation)s, %(version)s, %(state)s, %(ticks)s, %(zone)s, %(tenant)s, %(type)s,
            %(pool)s, %(catch_up)s, %(overlap)s, %(definition)s::jsonb,
            to_timestamp(%(next_ms)s::bigint / 1000.0), 0, to_timestamp(%(at_ms)s::bigint / 1000.0), %(by)s)
    ON CONFLICT (name) DO UPDATE SET
        incarnation = excluded.incarnation, version = excluded.version, state = excluded.state,
        ticks = coalesce(excluded.ticks, t.ticks), zone = coalesce(excluded.zone, t.zone),
        tenant = coalesce(excluded.tenant, t.tenant), type = coalesce(excluded.type, t.type),
        pool = coalesce(excluded.pool, t.pool), catch_up = coalesce(excluded.catch_up, t.catch_up),
        overlap = coalesce(excluded.overlap, t.overlap),
        definition = coalesce(excluded.definition, t.definition), next_tick = excluded.next_tick,
        fired = CASE WHEN t.incarnation = excluded.incarnation THEN t.fired ELSE 0 END,
        last_tick = CASE WHEN t.incarnation = excluded.incarnation THEN t.last_tick END,
        settled_until = CASE WHEN t.incarnation = excluded.incarnation THEN t.settled_until END,
        changed_at = excluded.changed_at, changed_by = excluded.changed_by
    WHERE (t.changed_at, t.version) < (excluded.changed_at, excluded.version)
"""
_FIRE: LiteralString = """
    UPDATE schedules SET
        last_tick = to_timestamp(%(last_ms)s::bigint / 1000.0), fired = %(fired)s,
        settled_until = to_timestamp(%(through_ms)s::bigint / 1000.0),
        next_tick = CASE WHEN state = 'active' AND changed_at <= to_timestamp(%(at_ms)s::bigint / 1000.0)
                         THEN to_timestamp(%(next_ms)s::bigint / 1000.0) ELSE next_tick END,
        state = CASE WHEN state = 'active' AND changed_at <= to_timestamp(%(at_ms)s::bigint / 1000.0)
                      AND %(next_ms)s::bigint IS NULL THEN 'ended' ELSE state END
    WHERE name = %(name)s AND incarnation = %(incarnation)s
      AND (settled_until IS NULL OR settled_until < to_timestamp(%(through_ms)s::bigint / 1000.0))
"""


class PostgresSchedules(PostgresTable):
    """The table of schedules; connects, waits and fails as the sink of jobs does."""

    def __init__(self, conninfo: str, *, epoch: str, meter: Meter, before: Collection[str]) -> None:
        super().__init__(conninfo, stage=STAGE, epoch=epoch, meter=meter, before=before)

    async def write_schedules(self, rows: ScheduleRows, moves: Mapping[int, Move]) -> None:
        """Merge rows and move the positions, in one transaction. Repeated, it changes nothing more.

        Errors as of ``ports.state_table.StateTable``.
        """
        try:
            with self._answering():
                connection = await self._connected()
                async with connection.transaction(), connection.cursor() as cursor:
                    reached(Failpoint.SCHEDULES_OPEN)
                    await self._move(cursor, moves)
                    reached(Failpoint.SCHEDULES_MOVED)
                    await self._merge_rows(cursor, _DEFINE, [row._asdict() for row in rows.defined])
                    await self._merge_rows(cursor, _FIRE, [row._asdict() for row in rows.fired])
                    reached(Failpoint.SCHEDULES_MERGED)
        except BaseException as error:
            await self._give_up(error)
            raise
        reached(Failpoint.SCHEDULES_COMMITTED)
        self._meter.count(Metric.ROWS, len(rows.defined) + len(rows.fired), table=STAGE)

    async def _merge_rows(
        self, cursor: psycopg.AsyncCursor, statement: LiteralString, rows: Sequence[Mapping[str, object]]
    ) -> None:
        if rows:
            await cursor.executemany(statement, rows)
