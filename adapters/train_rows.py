"""Where the rows of an order come from: a recording, or the database."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adapters.learned.logged import Logged
from adapters.postgres.score_rows import count, read, reading
from adapters.recordings.replay import logged_from
from core.learning.enough import missing
from penstock.connection import DatabaseConnection
from ports.training import Order, When

LOOKED_AT = 20_000
"""Newest decisions that are read when nothing is trained: drift needs 2,000 ends of them, pools hundreds."""


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
        waits_for = "it is not time to train" if order.when is When.NEVER else ""
        if order.when is When.DUE:
            since_ms = 0 if order.newest is None else order.newest.created_ms
            counts = count(connection, order.rows_max, since_ms)
            waits_for = missing(counts, order.enough, has_model=order.newest is not None)
        limit = min(LOOKED_AT, order.rows_max) if waits_for else order.rows_max
        champion = None if order.champion is None else order.champion.id
        return RowsFor(read(connection, limit, champion), waits_for)
