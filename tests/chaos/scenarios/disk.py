"""Disks that are full, fail, or are slow, under the broker and under the database."""

from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.chaos.load import Load
from tests.chaos.rig.disk import Tmpfs, failing, slow_sync, tampered
from tests.chaos.rig.process import descendants, wait_until
from tests.chaos.rig.tools import Tool
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.signs import wait_for_acknowledgements, wait_for_effects, without_acknowledgements
from tests.chaos.spec import Layout, StackSpec

AWAY_S = 5.0
FULL_S = 8.0
SLOW_S = 15.0
SYNC_DELAY_MS = 300
BROKER_ENDS_TIMEOUT_S = 60.0
PANIC_TIMEOUT_S = 30.0
LOAD = Load(rate_per_s=30.0, after_s=5.0)


def fill_broker(field: Field) -> None:
    """Leave the broker no byte: it ends itself, and comes back on the same log once there is room."""
    (broker,) = field.stack.cluster.brokers
    disk = disk_of(field)
    with field.fault("broker's disk is full"):
        disk.fill()
        try:
            wait_until(lambda: not broker.is_alive, "the end of the broker", BROKER_ENDS_TIMEOUT_S)
            without_acknowledgements(field, AWAY_S)
        finally:
            disk.free()
        broker.start()
        field.stack.cluster.wait_ready()
        wait_for_acknowledgements(field)
    field.stack.services.wait_ready()


def fail_broker_writes(field: Field) -> None:
    """Let every write to the broker's log fail: it ends itself, and comes back on a disk that works."""
    (broker,) = field.stack.cluster.brokers
    files = sorted(broker.data.glob("*/*.log"))
    record = field.stack.logs / "strace-broker"
    with field.fault("broker's writes fail", files=len(files)):
        try:
            with tampered(failing(files), [broker.pid], record) as tracer:
                wait_until(lambda: not broker.is_alive, "the end of the broker", BROKER_ENDS_TIMEOUT_S)
                field.note(f"{tracer.tampered()} calls failed")
            without_acknowledgements(field, AWAY_S)
        finally:
            if not broker.is_alive:
                broker.start()
        field.stack.cluster.wait_ready()
        wait_for_acknowledgements(field)
    field.stack.services.wait_ready()


def slow_syncs(field: Field) -> None:
    """Let every sync of broker and database take 300 ms more."""
    (broker,) = field.stack.cluster.brokers
    postgres = field.stack.postgres
    logs = field.stack.logs
    with field.fault("slow syncs", delay_ms=SYNC_DELAY_MS, seconds=SLOW_S), ExitStack() as tracers:
        database = [postgres.pid, *descendants(postgres.pid)]
        slow = slow_sync(SYNC_DELAY_MS)
        of_database = tracers.enter_context(tampered(slow, database, logs / "strace-postgres"))
        tracers.enter_context(tampered(slow, [broker.pid], logs / "strace-broker"))
        wait_for_acknowledgements(field)
        wait_for_effects(field)
        field.go_on(SLOW_S)
        if of_database.tampered() == 0:
            raise FaultDidNotBiteError("the database synced nothing")
    field.stack.services.wait_ready()


def fill_database(field: Field) -> None:
    """Leave the database no byte, until its write-ahead log cannot grow: it panics and recovers."""
    postgres, disk = field.stack.postgres, disk_of(field)
    with field.fault("database's disk is full"):
        said = _panics(postgres.log)
        disk.fill()
        try:
            field.go_on(FULL_S)
            _use_up_log(postgres.url)
            wait_until(lambda: _panics(postgres.log) > said, "a panic of the database", PANIC_TIMEOUT_S)
            wait_for_acknowledgements(field)
            wait_for_effects(field)
        finally:
            disk.free()
        if not postgres.process.is_alive:
            postgres.launch()
        postgres.wait_ready()
    field.stack.services.wait_ready()


def disk_of(field: Field) -> Tmpfs:
    """Give the small disk of this layout."""
    disk = field.stack.servers.disk
    assert disk is not None, "the layout has no small disk"
    return disk


def _use_up_log(url: str) -> None:
    """Begin new segments of the write-ahead log until there is no room for one."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            for _ in range(100):
                connection.execute("select pg_logical_emit_message(false, 'chaos', 'full')")
                connection.execute("select pg_switch_wal()")
    except psycopg.OperationalError:
        return


def _panics(log: Path) -> int:
    return log.read_text(errors="replace").count("PANIC:")


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "broker-disk-full",
        "F12",
        "The broker's disk is full and it ends itself; what was acknowledged is there when it is back.",
        fill_broker,
        stack=StackSpec(layout=Layout.TMPFS_KAFKA),
        load=LOAD,
        needs=frozenset({Tool.ROOT, Tool.TMPFS}),
        recovery_limit_s=90,
    ),
    Scenario(
        "broker-disk-failing",
        "F13",
        "Every write to the broker's log fails and it ends itself; nothing acknowledged is lost.",
        fail_broker_writes,
        load=LOAD,
        needs=frozenset({Tool.STRACE}),
        recovery_limit_s=90,
    ),
    Scenario(
        "disk-slow",
        "F14",
        "Every sync of broker and database takes 300 ms more; only latency changes.",
        slow_syncs,
        load=LOAD,
        needs=frozenset({Tool.STRACE}),
        recovery_limit_s=90,
    ),
    Scenario(
        "database-disk-full",
        "F17",
        "The database panics on a full disk; jobs go on, and the table catches up when there is room.",
        fill_database,
        stack=StackSpec(layout=Layout.TMPFS_POSTGRES),
        load=LOAD,
        needs=frozenset({Tool.ROOT, Tool.TMPFS}),
        recovery_limit_s=90,
    ),
)
