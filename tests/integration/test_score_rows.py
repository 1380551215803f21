"""Decisions as they were logged, read out of a real Postgres with what became of them."""

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from pydantic import SecretStr

from adapters.learned.rows import NOT_ENDED
from adapters.postgres.migrate import upgrade
from adapters.postgres.score_rows import count, read, reading
from core.learning.enough import Counts
from core.learning.events import Status
from core.learning.features import FEATURES, FINGERPRINT
from penstock.connection import DatabaseConnection
from ports.training import UnavailableError

NOW = datetime(2026, 11, 27, 12, 0, 0, 250_000, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def vector_of(number: int) -> bytes:
    """A vector told apart by its first value; the second is missing."""
    vector = np.full(len(FEATURES), number, "<f4")
    vector[1] = np.nan
    return vector.tobytes()


class Table:
    """Puts jobs into the tables, a second apart."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.jobs = 0

    def job(
        self,
        outcome: str | None = "succeeded",
        *,
        tenant: str = "acme",
        pool: str = "default",
        state: str | None = None,
        candidate: str | None = None,
        features: str = FINGERPRINT,
        is_claimed: bool = True,
        n: int = 1,
    ) -> int:
        """Add one that was decided so many seconds after the first; give that number."""
        number, job = self.jobs, uuid.uuid4()
        self.jobs += 1
        at = NOW + timedelta(seconds=number)
        ended = {"succeeded": "succeeded", "failed": "dead"}
        state = state or ended.get(outcome or "", "running")
        finished = at + timedelta(seconds=3) if outcome else None
        is_over = state in {"succeeded", "dead", "cancelled"}
        self._connection.execute(
            "INSERT INTO jobs (job_id, tenant, type, pool, state, state_rank, dispatch, finished_at) "
            "VALUES (%s, %s, 't', %s, %s, 1, %s, %s)",
            (job, tenant, pool, state, n, finished if is_over else None),
        )
        if is_claimed:
            self._connection.execute(
                "INSERT INTO job_attempts (job_id, n, claimed_at, started_at, finished_at, outcome, run_s) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    *(job, n, at + timedelta(seconds=1)),
                    at + timedelta(seconds=1.5) if outcome else None,
                    *(finished, outcome, 1.5 if outcome in {"succeeded", "failed"} else None),
                ),
            )
        self._connection.execute(
            "INSERT INTO job_scores "
            "(job_id, n, decided_at, model, features, vector, candidate, log_run, failed) "
            "VALUES (%s, %s, %s, 'rule', %s, %s, %s, %s, %s)",
            (job, n, at, features, vector_of(number), candidate, 7.5, 0.25),
        )
        return number


def test_rows_are_in_order_with_times_labels_and_vectors_as_logged(
    database: psycopg.Connection, database_url: str
) -> None:
    table = Table(database)
    table.job()
    table.job("failed", tenant="other", pool="gpu", candidate="m1")
    table.job(None)
    with reading(database_url) as connection:
        found = read(connection, 100, "m1")
    rows = found.rows
    assert rows.vectors[:, 0].tolist() == [0, 1, 2]
    assert np.isnan(rows.vectors[:, 1]).all()
    assert rows.vectors.dtype == np.float32
    assert rows.decided_ms.tolist() == [NOW_MS, NOW_MS + 1000, NOW_MS + 2000]
    # What runs has said nothing of its start yet; it was claimed.
    assert (rows.started_ms - rows.decided_ms).tolist() == [1500, 1500, 1000]
    assert rows.ended_ms.tolist() == [NOW_MS + 3000, NOW_MS + 4000, NOT_ENDED]
    assert rows.run_ms.tolist()[:2] == [1500, 1500]
    assert rows.status.tolist()[:2] == [Status.OK, Status.FAILED]
    assert found.tenants[0] == found.tenants[2] != found.tenants[1]
    assert [found.pool_names[number] for number in found.pools] == ["default", "gpu", "default"]
    assert [math.isnan(value) for value in found.log_run] == [True, False, True]
    assert (found.log_run[1], found.failed[1]) == (7.5, 0.25)


def test_only_what_says_something_about_a_run_is_read(
    database: psycopg.Connection, database_url: str
) -> None:
    table = Table(database)
    kept = [table.job(), table.job("failed")]
    for outcome in ("lost", "released", "preempted"):
        table.job(outcome, state="queued")
    table.job(features="another0")
    table.job(is_claimed=False, outcome=None, state="queued")
    # A dispatch of a job that is over, of which nothing was ever heard.
    table.job(None, state="cancelled")
    database.execute("UPDATE jobs SET finished_at = now() WHERE state = 'cancelled'")
    with reading(database_url) as connection:
        found = read(connection, 100, None)
        counts = count(connection, 100, 0)
    assert found.rows.vectors[:, 0].tolist() == kept
    assert counts == Counts(2, 1, 2)


def test_what_failed_because_it_was_told_to_stop_was_cancelled(
    database: psycopg.Connection, database_url: str
) -> None:
    table = Table(database)
    table.job("failed", state="cancelled")
    table.job("failed", state="cancelled", n=2)
    # Its first dispatch failed by itself; a later one was cancelled.
    table.job("failed", state="cancelled")
    database.execute(
        "UPDATE jobs SET dispatch = 2 "
        "WHERE job_id = (SELECT job_id FROM job_scores ORDER BY decided_at DESC LIMIT 1)"
    )
    with reading(database_url) as connection:
        assert read(connection, 100, None).rows.status.tolist() == [
            Status.CANCELLED,
            Status.CANCELLED,
            Status.FAILED,
        ]
        assert count(connection, 100, 0).failures == 1


def test_the_newest_are_read_and_counted_up_to_a_number(
    database: psycopg.Connection, database_url: str
) -> None:
    table = Table(database)
    for _ in range(10):
        table.job()
    with reading(database_url) as connection:
        assert read(connection, 4, None).rows.vectors[:, 0].tolist() == [6, 7, 8, 9]
        assert count(connection, 4, 0) == Counts(4, 0, 4)
        assert count(connection, 100, NOW_MS + 7000) == Counts(10, 0, 2)
        assert len(read(connection, 100, None)) == 10


def test_the_newest_are_found_by_their_index(database: psycopg.Connection, database_url: str) -> None:
    Table(database).job()
    plan = database.execute(
        "SET enable_seqscan = off; EXPLAIN SELECT * FROM job_scores ORDER BY decided_at DESC LIMIT 10"
    )
    assert plan.nextset()
    assert "ix_job_scores_decided_at" in str(plan.fetchall())


def test_a_database_that_is_away_or_not_prepared_is_said_to_be(database_url: str) -> None:
    with pytest.raises(UnavailableError, match="job_scores"), reading(database_url) as connection:
        read(connection, 10, None)
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with pytest.raises(UnavailableError, match="cannot be read now"), reading(nowhere):
        pass
