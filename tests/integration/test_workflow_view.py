"""``v1_workflows`` on a real Postgres: states, counts, progress and the critical path."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from adapters.postgres.migrate import upgrade
from penstock.connection import DatabaseConnection

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


_INSERT = """
INSERT INTO jobs (job_id, state, state_rank, tenant, workflow_id, depends_on, job_group, finished_at, run_s,
                  submitted_at, started_at, updated_at)
VALUES (%(job)s, %(state)s, 1, %(tenant)s, %(workflow)s, %(parents)s, %(group)s, %(finished)s, %(run_s)s,
        %(noon)s, %(started)s, %(noon)s)
"""


class Table:
    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.connection = connection

    def put(
        self,
        number: int,
        state: str,
        *,
        after: Any = (),
        ended_s: float | None = None,
        run_s: float | None = None,
        group: str | None = None,
        workflow: str = "w",
        tenant: str = "t",
    ) -> None:
        parents = after if isinstance(after, dict) else [job_id(parent) for parent in after]
        finished = None if ended_s is None else NOON + timedelta(seconds=ended_s)
        started = NOON + timedelta(seconds=1) if run_s else None
        self.connection.execute(
            _INSERT,
            {
                "job": job_id(number),
                "state": state,
                "tenant": tenant,
                "workflow": workflow,
                "parents": json.dumps(parents),
                "group": group,
                "finished": finished,
                "run_s": run_s,
                "noon": NOON,
                "started": started,
            },
        )

    def row(self, workflow: str = "w", tenant: str = "t") -> dict[str, Any]:
        query = "SELECT * FROM v1_workflows WHERE workflow_id = %s AND tenant = %s"
        found = self.connection.execute(query, [workflow, tenant]).fetchone()
        assert found is not None
        return found


def job_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture
def table(database_url: str) -> Iterator[Table]:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield Table(connection)


def test_a_workflow_runs_until_all_its_jobs_have_ended(table: Table) -> None:
    table.put(1, "succeeded", ended_s=5, run_s=3)
    table.put(2, "waiting", after=[1])
    row = table.row()
    assert (row["state"], row["jobs"], row["succeeded"], row["waiting"]) == ("running", 2, 1, 1)
    assert (row["progress"], row["finished_at"]) == (0.5, None)
    assert row["submitted_at"] == NOON
    assert row["started_at"] == NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["succeeded", "succeeded"], "succeeded"),
        (["succeeded", "dead", "skipped"], "failed"),
        (["refused"], "failed"),
        (["expired", "cancelled"], "failed"),
        (["cancelled", "skipped"], "cancelled"),
        (["dead", "retrying"], "running"),
    ],
)
def test_how_a_workflow_ended_is_how_its_jobs_did(table: Table, states: list[str], expected: str) -> None:
    for number, state in enumerate(states):
        table.put(number, state, ended_s=None if state == "retrying" else number)
    assert table.row()["state"] == expected


def test_the_critical_path_goes_back_over_the_parent_that_ended_last(table: Table) -> None:
    table.put(1, "succeeded", ended_s=10, run_s=10)
    table.put(2, "succeeded", ended_s=1, run_s=1)
    table.put(3, "succeeded", ended_s=12, run_s=2, after=[1, 2])
    table.put(4, "succeeded", ended_s=11, run_s=100, after=[2])
    assert table.row()["critical_path_s"] == 12


def test_the_critical_path_goes_through_groups(table: Table) -> None:
    table.put(1, "succeeded", ended_s=2, run_s=2)
    table.put(2, "succeeded", ended_s=6, run_s=4, after=[1], group="g")
    table.put(3, "succeeded", ended_s=5, run_s=3, group="g")
    table.put(4, "succeeded", ended_s=7, run_s=1, after={"group": "g", "count": 2})
    assert table.row()["critical_path_s"] == 7


def test_what_never_ran_is_on_no_path_also_in_a_circle(table: Table) -> None:
    table.put(1, "refused", ended_s=5, after=[2])
    table.put(2, "refused", ended_s=5, after=[1])
    assert table.row()["critical_path_s"] is None
    table.put(3, "succeeded", ended_s=4, run_s=1, after=[3])
    assert table.row()["critical_path_s"] == 1


def test_tenants_and_workflows_do_not_meet(table: Table) -> None:
    table.put(1, "succeeded", ended_s=1, run_s=1)
    table.put(2, "dead", ended_s=1, run_s=9, tenant="u", after=[1])
    table.put(3, "running", workflow="v")
    assert (table.row()["state"], table.row("w", "u")["state"], table.row("v")["state"]) == (
        "succeeded",
        "failed",
        "running",
    )
    assert table.row("w", "u")["critical_path_s"] >= 9


def test_a_chain_of_a_thousand_is_walked_in_time(table: Table) -> None:
    with table.connection.transaction():
        for number in range(1000):
            table.put(number, "succeeded", ended_s=number, run_s=1, after=[number - 1] if number else ())
    table.connection.execute("ANALYZE jobs")
    began_s = time.monotonic()
    assert table.row()["critical_path_s"] == 1000
    assert time.monotonic() - began_s < 5
