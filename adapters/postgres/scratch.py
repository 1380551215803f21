"""A second set of tables, in a schema of its own, to fold the ledger into; and what it says of the first.

The same statements write both: an unqualified name means the first schema on the search path.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.logs import job_logs
from adapters.postgres.tables.retry_decisions import retry_decisions
from adapters.postgres.tables.scores import job_scores
from adapters.postgres.tables.stage_offsets import stage_offsets
from adapters.postgres.upsert import merged_columns
from penstock.errors import PenstockError

SCHEMA = "penstock_rebuild"
_ROWS = (jobs, job_attempts, job_logs, job_scores, retry_decisions)
LOCK_TIMEOUT_S = 60

Connection = psycopg.AsyncConnection


class RowDifference(NamedTuple):
    """One row that is not what the log says."""

    row: str
    """``table/key``."""
    columns: dict[str, tuple[object, object]]
    """By name: what the table has, what the log says. Empty: one side has no such row."""
    missing_in: str
    """``table``, ``log`` or nothing."""


def scratch_address(conninfo: str, live: str) -> str:
    """Give the address under which the same statements use the scratch tables."""
    options = f"{conninfo_to_dict(conninfo).get('options') or ''} -c search_path={SCHEMA},{live}"
    return make_conninfo(conninfo, options=options.strip())


class RebuildRunsError(PenstockError):
    """Two at once would fold into the same tables."""


async def create(connection: Connection, epoch: str) -> str:
    """Make the scratch tables, or take those that an interrupted run left; give the real ones' schema.

    Raises
    ------
    RebuildRunsError
        Another session has them.
    """
    cursor = await connection.execute(_LOOK, {"schema": SCHEMA, "key": _LOCK})
    row = await cursor.fetchone()
    assert row is not None
    live, revision, left, is_mine = str(row[0]), str(row[1]), row[2], row[3]
    if not is_mine:
        raise RebuildRunsError("another `penstock rebuild` runs on this database")
    made_for = f"epoch {epoch}, revision {revision}"
    async with connection.transaction():
        if left != made_for:
            await drop(connection)
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        for table in (*_ROWS, stage_offsets):
            # Without indexes but the key, and without WAL: it can be made again.
            await connection.execute(
                sql.SQL(
                    "CREATE UNLOGGED TABLE IF NOT EXISTS {} (LIKE {} INCLUDING DEFAULTS, PRIMARY KEY ({}))"
                ).format(
                    sql.Identifier(SCHEMA, table.name),
                    sql.Identifier(live, table.name),
                    sql.SQL(", ").join(sql.Identifier(one.name) for one in table.primary_key.columns),
                )
            )
        await connection.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(SCHEMA), sql.Literal(made_for))
        )
    return live


_LOCK = 0x50454E5245425549
"""Key of the advisory lock (the letters PENREBUI)."""
_LOOK = """
    SELECT current_schema(), (SELECT version_num FROM alembic_version),
           obj_description(to_regnamespace(%(schema)s), 'pg_namespace'), pg_try_advisory_lock(%(key)s)
"""


async def drop(connection: Connection) -> None:
    """Remove the scratch tables."""
    await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))


class Settled:
    """The real tables at one moment: nobody moves their positions while this is open."""

    def __init__(self, connection: Connection, live: str, stage: str, epoch: str) -> None:
        self._connection = connection
        self._live = live
        self._stage = stage
        self._epoch = epoch

    async def positions(self) -> dict[int, int]:
        """Give how far the tables are, by partition."""
        cursor = await self._connection.execute(
            self._text(
                "SELECT partition, next_offset FROM {live}.stage_offsets WHERE stage = %s AND epoch = %s"
            ),
            (self._stage, self._epoch),
        )
        return dict(await cursor.fetchall())

    async def differences(self, *, whole: bool, limit: int) -> tuple[int, list[RowDifference]]:
        """Compare with the scratch tables, which must be as far; give how many rows differ, and the first.

        Parameters
        ----------
        whole
            The log was folded from its first record: rows it does not have are differences too. Otherwise a
            row differs when what is left of the log says something else than it holds.
        """
        total = 0
        listed: list[RowDifference] = []
        for table in _ROWS:
            query = _whole(table) if whole else _partial(table)
            counted = await self._connection.execute(
                self._text(f"SELECT count(*) FROM ({query}) AS differing"),  # noqa: S608 - text of our own
                {"epoch": self._epoch},
            )
            row = await counted.fetchone()
            assert row is not None
            total += int(row[0])
            if row[0] and len(listed) < limit:
                shown = await self._connection.execute(
                    self._text(f"{query} LIMIT {limit - len(listed)}"), {"epoch": self._epoch}
                )
                listed += [_difference(table, found, said) async for found, said in shown]
        return total, listed

    async def replace(self, positions: Mapping[int, int], *, whole: bool) -> dict[str, int]:
        """Make the tables what the scratch tables say, and set how far they are; give rows changed by table.

        Only rows that differ are written. Rows of other epochs, and with a part of the log rows it does
        not name, stay.
        """
        changed: dict[str, int] = {}
        for table in _ROWS:
            cursor = await self._connection.execute(self._text(_merge_all(table, whole=whole)))
            changed[str(table.name)] = cursor.rowcount
        # Jobs last: whose epoch the other rows are of stands in their job.
        for table in reversed(_ROWS) if whole else ():
            cursor = await self._connection.execute(self._text(_remove_unsaid(table)), {"epoch": self._epoch})
            changed[str(table.name)] += cursor.rowcount
        await self._connection.execute(
            self._text(
                "INSERT INTO {live}.stage_offsets (stage, epoch, partition, next_offset) "
                "SELECT %s, %s, * FROM unnest(%s::int[], %s::bigint[]) "
                "ON CONFLICT (stage, epoch, partition) DO UPDATE SET next_offset = excluded.next_offset"
            ),
            (self._stage, self._epoch, list(positions), list(positions.values())),
        )
        return changed

    def _text(self, query: str) -> sql.Composed:
        return sql.SQL(query).format(live=sql.Identifier(self._live), scratch=sql.Identifier(SCHEMA))


@asynccontextmanager
async def settled(connection: Connection, live: str, stage: str, epoch: str) -> AsyncIterator[Settled]:
    """Hold the positions still for the block, which is one transaction; writers wait or try again later."""
    async with connection.transaction():
        await connection.execute(
            sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{LOCK_TIMEOUT_S}s"))
        )
        # Also against a first write of a partition that has no position yet.
        await connection.execute(
            sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(live, "stage_offsets"))
        )
        yield Settled(connection, live, stage, epoch)


_IN_EPOCH = "job_id NOT IN (SELECT job_id FROM {live}.jobs WHERE origin_epoch <> %(epoch)s)"


def _names(table: sa.Table) -> tuple[list[str], list[str]]:
    keys = [str(column.name) for column in table.primary_key.columns]
    return keys, [str(column.name) for column in table.columns]


def _listed(names: list[str], of: str) -> str:
    return ", ".join(f'{of}."{name}"' for name in names)


def _whole(table: sa.Table) -> str:
    keys, columns = _names(table)
    on = " AND ".join(f't."{key}" = s."{key}"' for key in keys)
    live = f"(SELECT * FROM {{live}}.{table.name} WHERE {_IN_EPOCH})"  # noqa: S608 - names of our own
    return (
        f"SELECT to_jsonb(t), to_jsonb(s) FROM {live} AS t FULL JOIN {{scratch}}.{table.name} AS s ON {on} "  # noqa: S608
        f"WHERE ROW({_listed(columns, 't')}) IS DISTINCT FROM ROW({_listed(columns, 's')})"
    )


def _partial(table: sa.Table) -> str:
    keys, columns = _names(table)
    merged = merged_columns(table)
    on = " AND ".join(f't."{key}" = excluded."{key}"' for key in keys)
    after = ", ".join(merged.get(name, f't."{name}"') for name in columns)
    said = ", ".join(
        f'{merged.get(name, f"excluded.{chr(34)}{name}{chr(34)}")} AS "{name}"' for name in columns
    )
    return (
        f"SELECT to_jsonb(t), CASE WHEN t.{keys[0]} IS NULL THEN to_jsonb(excluded) "  # noqa: S608
        f"ELSE (SELECT to_jsonb(m) FROM (SELECT {said}) AS m) END "
        f"FROM {{scratch}}.{table.name} AS excluded LEFT JOIN {{live}}.{table.name} AS t ON {on} "
        f"WHERE t.{keys[0]} IS NULL OR ROW({after}) IS DISTINCT FROM ROW({_listed(columns, 't')})"
    )


def _merge_all(table: sa.Table, *, whole: bool) -> str:
    keys, columns = _names(table)
    rest = [name for name in columns if name not in keys]
    listed = ", ".join(f'"{name}"' for name in columns)
    conflict = ", ".join(f'"{key}"' for key in keys)
    new = {name: f'excluded."{name}"' for name in rest} if whole else merged_columns(table)
    head = (
        f"INSERT INTO {{live}}.{table.name} AS t ({listed}) SELECT {listed} FROM {{scratch}}.{table.name} "  # noqa: S608
        f"ON CONFLICT ({conflict})"
    )
    if not new:
        return f"{head} DO NOTHING"
    assignments = ", ".join(f'"{name}" = {value}' for name, value in new.items())
    after, before = ", ".join(new.values()), _listed(list(new), "t")
    return f"{head} DO UPDATE SET {assignments} WHERE ROW({after}) IS DISTINCT FROM ROW({before})"


def _remove_unsaid(table: sa.Table) -> str:
    keys, _ = _names(table)
    same = " AND ".join(f's."{key}" = t."{key}"' for key in keys)
    return (
        f"DELETE FROM {{live}}.{table.name} AS t WHERE {_IN_EPOCH} "  # noqa: S608 - names of our own
        f"AND NOT EXISTS (SELECT 1 FROM {{scratch}}.{table.name} AS s WHERE {same})"
    )


def _difference(
    table: sa.Table, found: dict[str, object] | None, said: dict[str, object] | None
) -> RowDifference:
    keys, columns = _names(table)
    # A row that is missing is all nulls on that side of the join.
    row = said if found is None or found.get(keys[0]) is None else found
    assert row is not None
    name = "/".join([table.name, *(str(row[key]) for key in keys)])
    if found is None or found.get(keys[0]) is None:
        return RowDifference(name, {}, "table")
    if said is None or said.get(keys[0]) is None:
        return RowDifference(name, {}, "log")
    different = {
        column: (found.get(column), said.get(column))
        for column in columns
        if found.get(column) != said.get(column)
    }
    return RowDifference(name, different, "")
