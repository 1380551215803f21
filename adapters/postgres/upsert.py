"""The merge of ``core.rows`` in SQL: from a staging table into the table, one statement each."""

import sqlalchemy as sa

from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.logs import job_logs
from adapters.postgres.tables.retry_decisions import retry_decisions
from adapters.postgres.tables.scores import job_scores
from core.rows import ATTEMPT_GROUPS, JOB_GROUPS, Group, Tie

_DIALECT = sa.make_url("postgresql+psycopg://").get_dialect()()
_LONG = ("JSONB", "TEXT", "BYTEA")
_FIRST_STAYS = (job_logs, job_scores, retry_decisions)
"""Tables of rows that never change: what is said again is a repetition."""


def staging_name(table: sa.Table) -> str:
    """Give the name of the session's staging table."""
    return f"penstock_stage_{table.name}"


def staging_statements(table: sa.Table) -> list[str]:
    """Give the statements that make the staging table of a session.

    Temporary, so two sessions can never touch each other's; without defaults, checks or keys. Rows
    are deleted by who put them there: ``ON COMMIT DELETE ROWS`` truncates files and throws away
    the plans at every commit, which costs milliseconds however small the batch.
    """
    name = staging_name(table)
    columns = ", ".join(f'"{one.name}" {_sql_type(one)}' for one in table.columns)
    # Long values pass through only once: compressing them here would be work twice.
    plain = ", ".join(
        f'ALTER COLUMN "{one.name}" SET STORAGE EXTERNAL' for one in table.columns if _sql_type(one) in _LONG
    )
    statements = [f"CREATE TEMPORARY TABLE {name} ({columns})"]
    return [*statements, f"ALTER TABLE {name} {plain}"] if plain else statements


def copy_statement(table: sa.Table) -> str:
    """Give the COPY into the staging table."""
    columns = ", ".join(f'"{one.name}"' for one in table.columns)
    return f"COPY {staging_name(table)} ({columns}) FROM STDIN (FORMAT BINARY)"


def upsert_statement(table: sa.Table) -> str:
    """Give the statement that empties the staging table and merges its rows into ``table``."""
    columns = [one.name for one in table.columns]
    keys = [one.name for one in table.primary_key.columns]
    listed = ", ".join(f'"{name}"' for name in columns)
    conflict = ", ".join(f'"{name}"' for name in keys)
    staged = f"WITH staged AS (DELETE FROM {staging_name(table)} RETURNING *)"  # noqa: S608 - names of our own
    insert = f"{staged} INSERT INTO {table.name} AS t ({listed}) SELECT {listed} FROM staged"  # noqa: S608
    changes = merged_columns(table)
    if not changes:
        return f"{insert} ON CONFLICT ({conflict}) DO NOTHING"
    assignments = ", ".join(f'"{name}" = {value}' for name, value in changes.items())
    return f"{insert} ON CONFLICT ({conflict}) DO UPDATE SET {assignments}"


def merged_columns(table: sa.Table) -> dict[str, str]:
    """Give the new value of every column that a patch may change, as SQL over ``t`` and ``excluded``."""
    if table in _FIRST_STAYS:
        return {}
    keys = {one.name for one in table.primary_key.columns}
    return _merge(_GROUPS[table.name], [one.name for one in table.columns if one.name not in keys])


_GROUPS = {jobs.name: JOB_GROUPS, job_attempts.name: ATTEMPT_GROUPS}


def _merge(groups: tuple[Group, ...], columns: list[str]) -> dict[str, str]:
    """Give the new value of every column; ``t`` is the row in the table, ``excluded`` the patch."""
    values = {name: f'coalesce(excluded."{name}", t."{name}")' for name in columns}
    for group in groups:
        values[group.key] = f'greatest(excluded."{group.key}", t."{group.key}")'
        values |= {name: _guarded(group, name) for name in group.columns}
    return values


def _guarded(group: Group, name: str) -> str:
    new_key, old_key = f'excluded."{group.key}"', f't."{group.key}"'
    new, old = f'excluded."{name}"', f't."{name}"'
    larger = f"WHEN {new_key} > coalesce({old_key}, -1) THEN {new}"
    match group.tie:
        case Tie.KEEP:
            return f"CASE {larger} ELSE {old} END"
        case Tie.FILL:
            return f"CASE {larger} WHEN {new_key} = {old_key} THEN coalesce({old}, {new}) ELSE {old} END"
        case Tie.REPLACE:
            return f"CASE {larger} WHEN {new_key} = {old_key} THEN {new} ELSE {old} END"


def _sql_type(column: sa.Column[object]) -> str:
    return column.type.compile(_DIALECT)
