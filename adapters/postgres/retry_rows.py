"""Reads decisions about failures as they were logged, with what became of their jobs, in bounded memory."""

from typing import LiteralString, cast

import numpy as np
import psycopg

from adapters.learned.retry_logged import Decided, RetryLogged
from core.learning.enough import Counts
from core.retrying.choice import Subject
from core.retrying.columns import FEATURES, FINGERPRINT
from core.retrying.evidence import Settled

SETTLED_MAX = 50_000
"""Newest decisions that costs of arms are told from: with what is halved each generation, older ones hardly
count."""
FETCHED_AT_ONCE = 2_000
"""Rows in memory as Python objects besides those that are kept, about 2 MB."""
_OURS = {"fingerprint": FINGERPRINT, "bytes": 4 * len(FEATURES)}

# A vector of other columns says nothing, but its episode does: it stays without one.
_ROWS: LiteralString = """
    SELECT d.job_id::text, (extract(epoch FROM d.decided_at) * 1000)::int8,
           greatest(0, coalesce((d.context->>'age_s')::float8, 0)),
           d.action = 'retry', coalesce(j.tenant, ''), coalesce(j.type, ''), coalesce(d.signature, ''),
           CASE WHEN d.fingerprint = %(fingerprint)s AND octet_length(d.features) = %(bytes)s
                THEN d.features END,
           CASE WHEN j.state IN ('succeeded', 'dead', 'cancelled')
                THEN (extract(epoch FROM j.finished_at) * 1000)::int8 END,
           j.state = 'succeeded'
    FROM (
        SELECT job_id, n, decided_at, signature, action, context, fingerprint, features FROM retry_decisions
        ORDER BY decided_at DESC LIMIT %(limit)s
    ) d JOIN jobs j USING (job_id)
    ORDER BY d.decided_at DESC, d.n DESC
"""
_SETTLED: LiteralString = """
    SELECT error_class, arm, propensity::float8, cost_s FROM v1_retry_decisions
    WHERE cost_s IS NOT NULL AND propensity > 0 AND propensity <= 1
    ORDER BY decided_at DESC, job_id DESC, n DESC LIMIT %s
"""
_COUNTS: LiteralString = """
    SELECT count(*),
           count(*) FILTER (WHERE j.state = 'succeeded'),
           count(*) FILTER (WHERE d.decided_at > to_timestamp(%(since_ms)s::int8 / 1000.0))
    FROM (
        SELECT job_id, decided_at, action, fingerprint, features FROM retry_decisions
        ORDER BY decided_at DESC LIMIT %(limit)s
    ) d JOIN jobs j USING (job_id)
    WHERE d.action = 'retry' AND d.fingerprint = %(fingerprint)s AND octet_length(d.features) = %(bytes)s
          AND j.state IN ('succeeded', 'dead', 'cancelled') AND j.finished_at IS NOT NULL
"""
_Row = tuple[str, int, float, bool, str, str, str, bytes | None, int | None, bool]


def count(connection: psycopg.Connection, limit: int, since_ms: int) -> Counts:
    """Count those to retry, of the newest ``limit`` decisions, whose job has ended; all, recovered, new."""
    parameters = {**_OURS, "limit": limit, "since_ms": since_ms}
    row = connection.execute(_COUNTS, parameters).fetchone()
    assert row is not None
    return Counts(*row)


def read(connection: psycopg.Connection, limit: int) -> RetryLogged:
    """Read the newest decisions.

    Parameters
    ----------
    limit
        Most rows that are looked at; memory is some 700 bytes each.
    """
    found: list[Decided] = []
    with connection.cursor(name="rows", binary=True) as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        cursor.execute(_ROWS, {**_OURS, "limit": limit})
        found.extend(_decided(cast("_Row", row)) for row in cursor)
    found.reverse()
    return RetryLogged(found)


def settled(connection: psycopg.Connection, limit: int = SETTLED_MAX) -> list[Settled]:
    """Read what the newest decisions to retry have cost, the oldest first."""
    rows = connection.execute(_SETTLED, (limit,)).fetchall()
    return [Settled(*row) for row in reversed(rows)]


def _decided(row: _Row) -> Decided:
    job, at_ms, age_s, is_retry, tenant, type_, signature, vector, ended_ms, recovered = row
    return Decided(
        job,
        at_ms,
        age_s,
        is_retry,
        Subject(tenant, type_, signature),
        None if vector is None else np.frombuffer(vector, "<f4").astype(np.float32),
        ended_ms,
        recovered and ended_ms is not None,
    )
