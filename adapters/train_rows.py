"""Where the rows of an order come from: a recording, or the database, by what its models are for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import psycopg

from adapters.learned.logged import Logged
from adapters.learned.retry_logged import RetryLogged
from adapters.postgres import retry_rows
from adapters.postgres.score_rows import count, read, reading
from adapters.recordings.replay import logged_from
from core.learning.enough import Counts, Enough, missing
from core.retrying import enough as of_retries
from penstock.connection import DatabaseConnection
from ports.training import Order, When

LOOKED_AT = 20_000
"""Newest decisions that are read when nothing is trained: drift needs 2,000 ends of them, pools hundreds."""


Count = Callable[[psycopg.Connection, int, int], Counts]


class Missing(Protocol):
    """Says what is missing to train; empty when nothing is."""

    def __call__(self, counts: Counts, enough: Enough, *, has_model: bool) -> str:
        """Say so."""
        ...


class RowsFor(NamedTuple):
    """Rows, and why there is nothing to train; empty: there is."""

    logged: Logged
    waits_for: str


def rows_for(order: Order, say: Callable[[str], None]) -> RowsFor:
    """Read what an order is about.

    Raises
    ------
    ports.training.UnavailableError
        The database cannot be read now.
    adapters.recordings.rows.TraceFormatError
        The recording cannot be read.
    """
    if order.trace:
        return RowsFor(logged_from(Path(order.trace), order.rows_max, say), "")
    with reading(DatabaseConnection().conninfo) as connection:
        waits_for = _waits_for(order, connection, count, missing)
        limit = min(LOOKED_AT, order.rows_max) if waits_for else order.rows_max
        champion = None if order.champion is None else order.champion.id
        return RowsFor(read(connection, limit, champion), waits_for)


def retries_for(order: Order) -> tuple[RetryLogged, str]:
    """Read what an order about models of recoveries is about; and why there is nothing to train.

    Raises
    ------
    ports.training.UnavailableError
        The database cannot be read now.
    """
    with reading(DatabaseConnection().conninfo) as connection:
        waits_for = _waits_for(order, connection, retry_rows.count, of_retries.missing)
        if waits_for and order.champion is None:
            # Nothing to make, and nobody who could have drifted.
            return RetryLogged(()), waits_for
        if waits_for:
            return retry_rows.read(connection, min(LOOKED_AT, order.rows_max)), waits_for
        logged = retry_rows.read(connection, order.rows_max)
        return replace(logged, settled=retry_rows.settled(connection)), ""


def _waits_for(order: Order, connection: psycopg.Connection, count: Count, missing: Missing) -> str:
    if order.when is When.NEVER:
        return "it is not time to train"
    if order.when is When.NOW:
        return ""
    since_ms = 0 if order.newest is None else order.newest.created_ms
    counts = count(connection, order.rows_max, since_ms)
    return missing(counts, order.enough, has_model=order.newest is not None)
