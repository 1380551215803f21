"""A database that is there but does not serve: locked tables, no free connection, no instruction run."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from tests.chaos.load import Load
from tests.chaos.rig.patience import PATIENCE
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.signs import wait_for_acknowledgements, wait_for_effects
from tests.chaos.watch import TABLE

STALL_S = 20.0
CONNECTIONS_TRIED = 150
TAKEN_WITHIN_S = 15.0
SINCE_DUMP_S = 15.0
LOAD = Load(rate_per_s=40.0)

_ROWS = "select count(*) from jobs"
_END_OTHERS = """select count(pg_terminate_backend(pid)) from pg_stat_activity
    where backend_type = 'client backend' and pid <> all(%s)"""


def lock_table(field: Field) -> None:
    """Lock the state table against everyone for 20 s."""
    with (
        field.fault("the table is locked", seconds=STALL_S),
        psycopg.connect(field.stack.postgres.url) as connection,
    ):
        connection.execute("lock table jobs in access exclusive mode")
        before = _count(connection)
        _go_on_without_table(field)
        if _count(connection) != before:
            raise FaultDidNotBiteError("rows changed under the lock")
        connection.rollback()
    field.stack.services.wait_ready()


def take_connections(field: Field) -> None:
    """Take every connection there is, the services' own among them, for 20 s."""
    with (
        field.fault("no free connection", seconds=STALL_S),
        _all_connections(field.stack.postgres.url) as taken,
    ):
        field.note(f"{taken} connections taken")
        _go_on_without_table(field)
    field.stack.services.wait_ready()


def pause_database(field: Field) -> None:
    """Let the database run no instruction for 20 s; its connections stay open."""
    postgres = field.stack.postgres
    with field.fault("the database is paused", seconds=STALL_S):
        postgres.pause()
        try:
            _go_on_without_table(field)
        finally:
            postgres.resume()
    field.stack.services.wait_ready()


def restore_older(field: Field) -> None:
    """Put the database back to a dump of 15 s ago, as after a loss; what came since must come again."""
    services, postgres = field.stack.services, field.stack.postgres
    (name,) = [one.name for one in services.of("materializer")]
    dump = field.stack.directory / "table.dump"
    postgres.dump(dump)
    then = _count_in(postgres.url)
    field.go_on(SINCE_DUMP_S)
    with field.fault("an older table"):
        services.hold_down(name)
        try:
            lost = _count_in(postgres.url) - then
            postgres.restore(dump)
            left = _count_in(postgres.url)
            field.note(f"{lost} rows are gone with the restore")
            if lost <= 0 or left > then:
                raise FaultDidNotBiteError(f"{then} rows were dumped, {then + lost} there, {left} are left")
            field.go_on(1.0)
        finally:
            services.revive(name)
    services.wait_ready()


def _go_on_without_table(field: Field) -> None:
    """Ask that jobs are taken in and run all the same, to the end of the fault."""
    wait_for_acknowledgements(field)
    wait_for_effects(field)
    field.go_on(STALL_S)
    wait_for_acknowledgements(field)
    wait_for_effects(field)


@contextmanager
def _all_connections(url: str) -> Iterator[int]:
    """Hold every connection the server allows; those of others are ended to get theirs.

    Raises
    ------
    FaultDidNotBiteError
        The server still lets others in.
    """
    with ExitStack() as held:
        first = held.enter_context(psycopg.connect(url, autocommit=True))
        own = [first.info.backend_pid]
        until_s = time.monotonic() + PATIENCE.limit_s(TAKEN_WITHIN_S)
        # What the services had is free only once those backends have ended, which takes its time.
        while True:
            own += [one.info.backend_pid for one in _take(held, url)]
            (others,) = first.execute(_END_OTHERS, (own,)).fetchone() or (0,)
            if not others and not _lets_in(url):
                break
            if time.monotonic() > until_s:
                raise FaultDidNotBiteError("there is a free connection")
        yield len(own)


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _take(held: ExitStack, url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    for _ in range(CONNECTIONS_TRIED):
        try:
            connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError:
            return
        yield held.enter_context(connection)


def _count_in(url: str) -> int:
    with psycopg.connect(url) as connection:
        return _count(connection)


def _count(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute(_ROWS).fetchone()
    assert row is not None
    return int(str(row[0]))


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "table-locked",
        "F18",
        "The state table is locked for 20 s; jobs go on and the table catches up.",
        lock_table,
        load=LOAD,
        subset=True,
    ),
    Scenario(
        "database-without-connections",
        "F18",
        "Every database connection is taken for 20 s, open ones too; jobs go on and the table catches up.",
        take_connections,
        load=LOAD,
    ),
    Scenario(
        "postgres-paused",
        "F18",
        "The database runs nothing for 20 s while its connections stay open; the table catches up.",
        pause_database,
        load=LOAD,
        subset=True,
    ),
    Scenario(
        "table-restored",
        "F19",
        "The database is put back to a dump of 15 s ago; the table tells all that came since once more.",
        restore_older,
        load=LOAD,
        rewinds=frozenset({TABLE}),
    ),
)
