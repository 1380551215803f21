"""How Alembic reaches the database; run by Alembic, not imported.

Programs hand over an open connection (``adapters.postgres.migrate``); the command line uses
``PENSTOCK_DATABASE_URL``.
"""

from alembic import context
from sqlalchemy import Connection

from adapters.postgres.migrate import engine_of
from adapters.postgres.tables.everything import ALL
from penstock.connection import DatabaseConnection


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=ALL)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with engine_of(DatabaseConnection()).connect() as opened:
        _run(opened)
        opened.commit()
