"""What all tables share: naming of constraints, and types by what they mean."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

UUID = postgresql.UUID(as_uuid=False)
JSONB = postgresql.JSONB()
TIME = sa.DateTime(timezone=True)
TEXT = sa.Text()
SMALL = sa.SmallInteger()
INT = sa.Integer()
BIG = sa.BigInteger()
REAL: sa.Double[float] = sa.Double()

Type = sa.types.TypeEngine[Any]


def column(name: str, type_: Type, comment: str) -> sa.Column[object]:
    """Give a column that may be null: what a record has not said yet is not known."""
    return sa.Column(name, type_, comment=comment)


def needed(name: str, type_: Type, comment: str) -> sa.Column[object]:
    """Give a column that is never null."""
    return sa.Column(name, type_, nullable=False, comment=comment)


def key(name: str, type_: Type, comment: str) -> sa.Column[object]:
    """Give a column of the primary key."""
    return sa.Column(name, type_, primary_key=True, autoincrement=False, comment=comment)


def one_of(name: str, column_name: str, values: Iterable[str]) -> sa.CheckConstraint:
    """Give a check that a text column holds one of ``values`` (or null)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column_name} IN ({listed})", name=name)
