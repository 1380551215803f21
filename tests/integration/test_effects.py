"""An effect in the user's database happens once per job, whoever is repeated, killed or late."""

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from adapters.postgres.migrate import upgrade
from core.services import JOB_SERVICES
from penstock import Context, PermanentError
from penstock.connection import DatabaseConnection
from penstock.effects import EFFECTS_TABLE, once, once_async
from penstock.testing import TaskRun, run_task
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

JOB = str(uuid.UUID(int=7))

APP = """
import os
import psycopg
from penstock import RetryRule, task
from penstock.effects import once

@task("pay", retry=RetryRule(base="0.1s", cap="0.1s"))
def pay(ctx, amount):
    with psycopg.connect(os.environ["DATABASE_OF_THE_TEST"]) as connection:
        def effect():
            connection.execute("INSERT INTO paid VALUES (%s)", (amount,))
            if ctx.dispatch == 1:
                raise ConnectionResetError("lost before the commit")
            return {"receipt": [amount, ctx.dispatch]}
        receipt = once(connection, ctx, effect)
    if ctx.dispatch == 2:
        os._exit(3)
    return receipt
"""

Ledger = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE paid (amount integer)")
        connection.execute(EFFECTS_TABLE)
        connection.commit()
        yield connection


def paid(connection: Ledger) -> list[int]:
    with connection.transaction():
        return [amount for (amount,) in connection.execute("SELECT amount FROM paid ORDER BY amount")]


def pay(connection: Ledger, amount: int) -> dict[str, int]:
    connection.execute("INSERT INTO paid VALUES (%s)", (amount,))
    return {"receipt": amount}


def paying(url: str, amount: int, *, then: Callable[[], None] = lambda: None) -> Callable[..., Any]:
    """Give a handler that pays, does this while its transaction is open, and returns the receipt."""

    def handler(ctx: Context, _: Any) -> Any:
        with psycopg.connect(url) as connection:

            def effect() -> dict[str, int]:
                receipt = pay(connection, amount)
                then()
                return receipt

            return once(connection, ctx, effect)

    return handler


def test_the_next_attempt_gets_what_the_first_returned(ledger: Ledger, database_url: str) -> None:
    first = run_task(paying(database_url, 5), job_id=JOB)
    again = run_task(paying(database_url, 6), job_id=JOB, attempt=2)
    assert (first.result, again.result) == ({"receipt": 5}, {"receipt": 5})
    assert paid(ledger) == [5]


def test_an_effect_that_failed_left_nothing_and_is_done_by_the_next(
    ledger: Ledger, database_url: str
) -> None:
    def fail() -> None:
        raise ConnectionResetError("broken")

    broken = run_task(paying(database_url, 5, then=fail), job_id=JOB)
    assert isinstance(broken.error, ConnectionResetError)
    assert paid(ledger) == []
    assert run_task(paying(database_url, 6), job_id=JOB, attempt=2).ok
    assert paid(ledger) == [6]


def test_of_two_at_the_same_time_the_second_waits_and_does_nothing(ledger: Ledger, database_url: str) -> None:
    goes_on = threading.Event()
    runs: dict[int, TaskRun] = {}

    def wait() -> None:
        assert goes_on.wait(30)

    def run(dispatch: int, **options: Any) -> None:
        runs[dispatch] = run_task(paying(database_url, **options), job_id=JOB, dispatch=dispatch)

    first = threading.Thread(target=run, args=(1,), kwargs={"amount": 5, "then": wait})
    second = threading.Thread(target=run, args=(2,), kwargs={"amount": 6})
    first.start()
    wait_until(lambda: waiting(ledger, "INSERT INTO paid%") == 1, "the first has paid", 30)
    second.start()
    wait_until(lambda: waiting(ledger, "%penstock_effects%") == 1, "the second waits", 30)
    goes_on.set()
    first.join(30)
    second.join(30)
    assert {dispatch: run.result for dispatch, run in runs.items()} == {
        1: {"receipt": 5},
        2: {"receipt": 5},
    }
    assert paid(ledger) == [5]


def waiting(connection: Ledger, statement: str) -> int:
    """Count sessions whose last statement looks like this and is not over, or whose transaction is open."""
    with connection.transaction():
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s"
            " AND pid <> pg_backend_pid() AND (state = 'idle in transaction' OR wait_event_type = 'Lock')",
            (statement,),
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_one_that_was_given_up_is_refused_after_a_later_attempt(ledger: Ledger, database_url: str) -> None:
    assert run_task(paying(database_url, 6), job_id=JOB, dispatch=2).ok
    late = run_task(paying(database_url, 5), job_id=JOB, dispatch=1)
    assert isinstance(late.error, PermanentError)
    assert "later attempt" in late.message
    assert paid(ledger) == [6]


def test_effects_of_one_job_are_told_apart_by_name(ledger: Ledger, database_url: str) -> None:
    def both(ctx: Context, _: Any) -> list[dict[str, int]]:
        with psycopg.connect(database_url) as connection:
            return [
                once(connection, ctx, lambda: pay(connection, 1), name="goods"),
                once(connection, ctx, lambda: pay(connection, 2), name="postage"),
            ]

    for attempt in (1, 2):
        assert run_task(both, job_id=JOB, attempt=attempt).result == [{"receipt": 1}, {"receipt": 2}]
    assert paid(ledger) == [1, 2]


def test_a_missing_table_is_named_with_its_remedy(database_url: str) -> None:
    run = run_task(paying(database_url, 5), job_id=JOB)
    assert isinstance(run.error, PermanentError)
    assert "EFFECTS_TABLE" in run.message


def test_inside_a_transaction_that_is_lost_nothing_was_done(ledger: Ledger, database_url: str) -> None:
    def loses(ctx: Context, _: Any) -> None:
        with psycopg.connect(database_url) as connection, connection.transaction(force_rollback=True):
            once(connection, ctx, lambda: pay(connection, 5))

    assert run_task(loses, job_id=JOB).ok
    assert paid(ledger) == []
    assert run_task(paying(database_url, 6), job_id=JOB, attempt=2).result == {"receipt": 6}


def test_async_handlers_have_it_too(ledger: Ledger, database_url: str) -> None:
    async def handler(ctx: Context, amount: int) -> Any:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:

            async def effect() -> dict[str, int]:
                await connection.execute("INSERT INTO paid VALUES (%s)", (amount,))
                await asyncio.sleep(0)
                return {"receipt": amount}

            return await once_async(connection, ctx, effect)

    def run(amount: int, dispatch: int) -> TaskRun:
        return run_task(handler, amount, job_id=JOB, dispatch=dispatch)

    assert (run(5, 2).result, run(6, 3).result) == ({"receipt": 5}, {"receipt": 5})
    assert isinstance(run(7, 1).error, PermanentError)
    assert paid(ledger) == [5]


def test_a_job_that_fails_before_its_commit_and_dies_behind_the_next_pays_once(
    servers: Servers, topic_prefix: str, database_url: str, ledger: Ledger, tmp_path: Path
) -> None:
    upgrade(DatabaseConnection(url=SecretStr(database_url)))
    app = tmp_path / "app"
    app.mkdir()
    (app / "tasks_of_effects.py").write_text(APP)
    settings = {
        "PENSTOCK_APP": "tasks_of_effects",
        "PENSTOCK_APP_PATH": str(app),
        "PENSTOCK_WORKERS": "1",
        "DATABASE_OF_THE_TEST": database_url,
    }

    async def submit(mine: Pipeline) -> Any:
        async with mine.client() as client:
            job = await client.submit("pay", 5)
            return await client.result(job, timeout_s=90)

    with (
        pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine,
        mine.running(*JOB_SERVICES, **settings),
    ):
        assert asyncio.run(submit(mine)) == {"receipt": [5, 2]}
    assert paid(ledger) == [5]
