"""Bring a database to the tables this version needs, and say whether it has them."""

import logging
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from adapters.postgres.tables.everything import ALL
from adapters.postgres.tables.views import VIEWS, grant_statement, statements
from penstock.connection import DatabaseConnection

logger = logging.getLogger(__name__)

_UPGRADE_LOCK = 0x50454E53544F434B
"""Key of the advisory lock (the letters PENSTOCK): of several starting at once, one migrates."""


def upgrade(database: DatabaseConnection) -> None:
    """Bring tables, views and comments up to date, in one transaction. Idempotent.

    A database that a later version has migrated is left as it is: migrations only ever add what older
    code may leave alone.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        Postgres does not answer or refuses the login; the caller tries again or stops.
    sqlalchemy.exc.DBAPIError
        The database is not what the migrations expect; a person must look.
    """
    engine = engine_of(database)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            config = _config()
            if is_newer(connection):
                logger.warning("the tables are of a later version; they are used as they are")
                return
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            for view in VIEWS:
                for statement in statements(view):
                    connection.exec_driver_sql(statement)
            connection.exec_driver_sql(grant_statement())
    finally:
        engine.dispose()


def is_newer(connection: sa.Connection) -> bool:
    """Whether a version with migrations that this one does not know has migrated the database."""
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return found is not None and found not in known


def check(database: DatabaseConnection) -> tuple[str, ...]:
    """Name what in the database differs from the tables of this version; nothing: it fits.

    Compared are the revision, tables, columns, types, nullability, indexes and comments. Not
    compared: check constraints, storage parameters, and what stands in the rows.
    """
    engine = engine_of(database)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            found, wanted = context.get_current_revision(), ScriptDirectory.from_config(_config())
            differences = [str(one) for one in compare_metadata(context, ALL)]
            if found != wanted.get_current_head():
                head = wanted.get_current_head()
                differences.insert(0, f"the database is at revision {found}, this version needs {head}")
    finally:
        engine.dispose()
    return tuple(differences)


def engine_of(database: DatabaseConnection) -> sa.Engine:
    """Give an engine for the address, in whichever form psycopg takes it."""
    return sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database.conninfo), poolclass=sa.NullPool
    )


def _config() -> Config:
    return Config(Path(__file__).with_name("alembic.ini"))
