"""The migrations on a real Postgres: they make exactly the tables, and every column says what it is."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from pydantic import SecretStr

from adapters.postgres.migrate import check, upgrade
from adapters.postgres.tables.everything import TABLES
from adapters.postgres.tables.views import V1_JOBS, VIEWS, statements
from core.rows import JOB_GROUPS, JSON_COLUMNS
from core.states import State
from penstock.connection import DatabaseConnection


@pytest.fixture
def database(database_url: str) -> DatabaseConnection:
    return DatabaseConnection(url=SecretStr(database_url))


def test_an_upgraded_database_is_what_the_tables_say(database: DatabaseConnection) -> None:
    assert check(database) != ()
    upgrade(database)
    assert check(database) == ()


def test_a_planted_difference_is_found(database: DatabaseConnection) -> None:
    upgrade(database)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("COMMENT ON COLUMN job_logs.seq IS 'something else'")
    assert len(check(database)) == 1


def test_upgrading_again_and_at_once_changes_nothing(database: DatabaseConnection) -> None:
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database.conninfo) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x50454E53544F434B,))
        waiting = pool.submit(upgrade, database)
        while not connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert not waiting.done()
        connection.commit()
        waiting.result(30)
    upgrade(database)
    assert check(database) == ()


@pytest.mark.parametrize("name", [*(table.name for table in TABLES), *(view.name for view in VIEWS)])
def test_every_relation_and_column_has_a_comment(database: DatabaseConnection, name: str) -> None:
    upgrade(database)
    query = """
        SELECT attname FROM pg_attribute
        WHERE attrelid = %(name)s::regclass AND attnum > 0 AND NOT attisdropped
          AND coalesce(col_description(attrelid, attnum), '') = ''
        UNION ALL
        SELECT 'the relation' WHERE coalesce(obj_description(%(name)s::regclass), '') = ''
    """
    with psycopg.connect(database.conninfo) as connection:
        assert connection.execute(query, {"name": name}).fetchall() == []


def test_the_state_column_takes_every_state_and_nothing_else(database: DatabaseConnection) -> None:
    upgrade(database)
    insert = "INSERT INTO jobs (job_id, state, state_rank) VALUES (gen_random_uuid(), %s, 0)"
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        for state in State:
            connection.execute(insert, (state.value,))
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(insert, ("lost",))


def test_analysts_read_the_views_and_not_the_tables(database: DatabaseConnection) -> None:
    upgrade(database)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("SET ROLE penstock_analyst")
        for view in VIEWS:
            connection.execute(f"SELECT * FROM {view.name}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM v1_jobs")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM jobs")


@pytest.mark.parametrize(
    ("state", "finished_s", "deadline_s", "met"),
    [
        ("succeeded", -10, -10, True),
        ("succeeded", -10, -11, False),
        ("succeeded", -10, None, None),
        ("dead", -10, -5, False),
        ("dead", -10, 3600, False),
        ("expired", -10, 3600, False),
        ("cancelled", -10, -20, None),
        ("running", None, -10, False),
        ("waiting", None, 3600, None),
    ],
)
def test_a_deadline_is_shown_as_met_or_missed(
    database: DatabaseConnection, state: str, finished_s: int | None, deadline_s: int | None, met: bool | None
) -> None:
    upgrade(database)
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(
            "INSERT INTO jobs (job_id, state, state_rank, finished_at, deadline_at) VALUES "
            "(gen_random_uuid(), %s, 0, now() + make_interval(secs => %s), "
            "now() + make_interval(secs => %s))",
            (state, finished_s, deadline_s),
        )
        assert connection.execute("SELECT deadline_met FROM v1_jobs").fetchall() == [(met,)]


def test_a_view_of_an_earlier_version_is_extended(database: DatabaseConnection) -> None:
    upgrade(database)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("DROP VIEW v1_jobs")
        for statement in statements(V1_JOBS._replace(columns=V1_JOBS.columns[:3])):
            connection.execute(statement.encode())
    upgrade(database)
    with psycopg.connect(database.conninfo) as connection:
        assert connection.execute("SELECT deadline_met FROM v1_jobs").fetchall() == []


def test_without_the_right_to_make_roles_the_tables_come_up_all_the_same(
    database: DatabaseConnection,
) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS penstock_plain")
        connection.execute("CREATE ROLE penstock_plain NOLOGIN")
        try:
            connection.execute("GRANT CREATE, USAGE ON SCHEMA public TO penstock_plain")
            separator = "&" if "?" in database.conninfo else "?"
            url = f"{database.conninfo}{separator}options=-c%20role%3Dpenstock_plain"
            plain = DatabaseConnection(url=SecretStr(url))
            upgrade(plain)
            assert check(plain) == ()
        finally:
            connection.execute("DROP OWNED BY penstock_plain")
            connection.execute("DROP ROLE penstock_plain")


def test_the_merge_names_only_columns_that_exist() -> None:
    columns = {table.name: {column.name for column in table.columns} for table in TABLES}
    for group in JOB_GROUPS:
        assert {group.key, *group.columns} <= columns["jobs"]
    assert set().union(*columns.values()) >= JSON_COLUMNS
