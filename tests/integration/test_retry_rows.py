"""Decisions about failures, read out of a real Postgres with what became of their jobs."""

import numpy as np
import psycopg
import pytest
from pydantic import SecretStr

from adapters.learned.retry_logged import Decided, RetryLogged
from adapters.postgres.migrate import upgrade
from adapters.postgres.retry_rows import count, read, settled
from adapters.postgres.score_rows import reading
from core.learning.enough import Counts
from core.retrying.evidence import Settled
from core.retrying.off_policy import ABANDONED_S
from penstock.connection import DatabaseConnection
from tests.support.retry_decisions import BEGIN_MS, fill_decisions, logged_of


@pytest.fixture
def url(database_url: str) -> str:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    return database_url


def assert_alike(one: Decided, other: Decided) -> None:
    assert one._replace(vector=None) == other._replace(vector=None)
    assert (one.vector is None) == (other.vector is None)
    if one.vector is not None and other.vector is not None:
        assert np.array_equal(one.vector, other.vector, equal_nan=True)


def test_decisions_are_read_as_they_were_logged_in_order_and_counted(url: str) -> None:
    logged = logged_of(40)
    still_on = logged.decided[-1]._replace(
        job="00000000-0000-0000-0001-000000000000", ended_ms=None, recovered=False
    )
    without = still_on._replace(job="00000000-0000-0000-0002-000000000000", vector=None)
    logged = RetryLogged([*logged.decided, still_on, without])
    fill_decisions(url, logged)
    with reading(url) as connection:
        found = read(connection, 10_000)
        assert len(found) == len(logged)
        for one, other in zip(found.decided, logged.decided, strict=True):
            assert_alike(one, other)
        counts = count(connection, 10_000, 0)
        assert counts == Counts(logged.ends, logged.recoveries, logged.ends)
        assert 0 < counts.failures < counts.ends
        half_ms = BEGIN_MS + 20 * 60_000
        newer = count(connection, 10_000, half_ms).new_ends
        assert newer == sum(
            one.at_ms > half_ms and one.is_retry and one.ended_ms is not None and one.vector is not None
            for one in logged.decided
        )
        newest = read(connection, 7)
        assert [one.at_ms for one in newest.decided] == [one.at_ms for one in logged.decided[-7:]]


def test_vectors_of_other_columns_are_left_out_and_their_episodes_are_not(url: str) -> None:
    logged = logged_of(10)
    fill_decisions(url, logged, fingerprint="another")
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE retry_decisions SET context = NULL WHERE n = 0")
    with reading(url) as connection:
        found = read(connection, 10_000)
        assert len(found) == len(logged)
        assert all(one.vector is None for one in found.decided)
        assert found.decided[0].age_s == 0
        assert count(connection, 10_000, 0) == Counts(0, 0, 0)


def test_costs_are_told_of_what_is_settled_the_oldest_first(url: str) -> None:
    logged = logged_of(40)
    on = logged.decided[-1]._replace(
        job="00000000-0000-0000-0001-000000000000", ended_ms=None, recovered=False
    )
    fill_decisions(url, RetryLogged([*logged.decided, on]))
    told = [one for one in logged.decided if one.is_retry]
    with psycopg.connect(url) as connection:
        assert settled(connection, 10_000) == [
            Settled(
                "transient",
                "planned",
                1.0,
                (ended_ms - one.at_ms) / 1000 + (0 if one.recovered else ABANDONED_S),
            )
            for one in told
            if (ended_ms := one.ended_ms) is not None
        ]
        newest = settled(connection, 5)
        assert newest == settled(connection, 10_000)[-5:]
        connection.execute("UPDATE retry_decisions SET propensity = 0 WHERE n % 2 = 0")
        assert 0 < len(settled(connection, 10_000)) < len(told)
