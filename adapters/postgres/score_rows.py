"""Reads decisions as they were logged, with what became of them, in bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString, cast

import numpy as np
import psycopg

from adapters.learned.logged import Logged
from adapters.learned.rows import NOT_ENDED, Rows
from core.learning.enough import Counts
from core.learning.events import Status
from core.learning.features import FEATURES, FINGERPRINT
from ports.training import UnavailableError

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 600
"""One statement reads all rows; who waits for more than this has a database that needs help first."""
FETCHED_AT_ONCE = 2_000
"""Rows in memory as Python objects, about 2 MB."""

# What was lost, handed back or pre-empted has no run of its own and says nothing about how it would have
# ended; what has not begun has not run so long. What failed because it was told to stop was cancelled.
_ROWS: LiteralString = """
    SELECT (extract(epoch FROM s.decided_at) * 1000)::int8,
           (extract(epoch FROM coalesce(a.started_at, a.claimed_at, s.decided_at)) * 1000)::int8,
           CASE WHEN a.outcome IS NOT NULL THEN (extract(epoch FROM a.finished_at) * 1000)::int8 END,
           round(coalesce(a.run_s, 0) * 1000)::int8,
           coalesce(a.outcome = 'failed', false),
           coalesce(j.state = 'cancelled' AND j.dispatch = s.n, false),
           hashtext(coalesce(j.tenant, '')), coalesce(j.pool, ''),
           CASE WHEN s.candidate = %(champion)s THEN s.log_run END,
           CASE WHEN s.candidate = %(champion)s THEN s.failed END,
           s.vector
    FROM (
        SELECT job_id, n, decided_at, vector, candidate, log_run, failed FROM job_scores
        WHERE features = %(fingerprint)s ORDER BY decided_at DESC LIMIT %(limit)s
    ) s JOIN job_attempts a USING (job_id, n) JOIN jobs j USING (job_id)
    WHERE a.outcome IN ('succeeded', 'failed') OR (a.outcome IS NULL AND j.finished_at IS NULL)
    ORDER BY s.decided_at DESC
"""
_COUNTS: LiteralString = """
    SELECT count(*),
           count(*) FILTER (WHERE a.outcome = 'failed' AND NOT (j.state = 'cancelled' AND j.dispatch = s.n)),
           count(*) FILTER (WHERE s.decided_at > to_timestamp(%(since_ms)s::int8 / 1000.0))
    FROM (
        SELECT job_id, n, decided_at FROM job_scores
        WHERE features = %(fingerprint)s ORDER BY decided_at DESC LIMIT %(limit)s
    ) s JOIN job_attempts a USING (job_id, n) JOIN jobs j USING (job_id)
    WHERE a.outcome IN ('succeeded', 'failed')
"""
_Row = tuple[int, int, int | None, int, bool, bool, int, str, float | None, float | None, bytes]


@contextmanager
def reading(conninfo: str) -> Iterator[psycopg.Connection]:
    """Connect for reading; everything inside sees the tables as of one moment.

    Raises
    ------
    UnavailableError
        Postgres does not answer, goes away, has not these tables yet, or does not let us read them.
    """
    try:
        with psycopg.connect(
            conninfo,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="penstock trainer",
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c jit=off",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        ) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UnavailableError(f"the database cannot be read now: {said}") from error


def count(connection: psycopg.Connection, limit: int, since_ms: int) -> Counts:
    """Count what ended of the newest ``limit`` decisions, and of those made after ``since_ms``."""
    parameters = {"fingerprint": FINGERPRINT, "limit": limit, "since_ms": since_ms}
    row = connection.execute(_COUNTS, parameters).fetchone()
    assert row is not None
    return Counts(*row)


def read(connection: psycopg.Connection, limit: int, champion: str | None) -> Logged:
    """Read the newest decisions whose vectors follow this version's features.

    Parameters
    ----------
    limit
        Most rows that are looked at; memory is 600 bytes each for those that are taken.
    champion
        The model whose predictions are wanted.
    """
    table = _Table(limit)
    # A cursor of the server's: it keeps the rows, and gives them a few at a time.
    with connection.cursor(name="rows", binary=True) as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        cursor.execute(_ROWS, {"fingerprint": FINGERPRINT, "limit": limit, "champion": champion})
        for row in cursor:
            table.add(cast("_Row", row))
    return table.logged()


class _Table:
    """Columns that are filled from the end, for the newest rows come first."""

    def __init__(self, limit: int) -> None:
        # Pages that are never written take no memory.
        self._vectors = np.empty((limit, len(FEATURES)), np.float32)
        self._times = np.empty((4, limit), np.int64)
        self._status = np.empty(limit, np.int8)
        self._labels = np.empty((2, limit), np.int64)
        self._said = np.empty((2, limit), np.float64)
        self._first = limit
        self._pools: dict[str, int] = {}

    def add(self, row: _Row) -> None:
        """Put a row before those that are there."""
        decided, started, ended, run, failed, cancelled, tenant, pool, log_run, p_failed, vector = row
        self._first -= 1
        at = self._first
        self._vectors[at] = np.frombuffer(vector, "<f4")
        self._times[:, at] = decided, started, NOT_ENDED if ended is None else ended, run
        self._status[at] = Status.OK if not failed else Status.CANCELLED if cancelled else Status.FAILED
        self._labels[:, at] = tenant, self._pools.setdefault(pool, len(self._pools))
        self._said[:, at] = [np.nan if one is None else one for one in (log_run, p_failed)]

    def logged(self) -> Logged:
        """Give what was added."""
        first = self._first
        decided, started, ended, run = self._times[:, first:]
        rows = Rows(self._vectors[first:], decided, started, ended, run, self._status[first:])
        tenants, pools = self._labels[:, first:]
        log_run, failed = self._said[:, first:]
        return Logged(rows, tenants, pools, tuple(self._pools), log_run, failed)
