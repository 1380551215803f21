"""The ledger of effects: what tasks did, in a database that no fault touches."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, NamedTuple

import psycopg

_TABLE = """create table if not exists effects (
    seq bigserial, kind text not null, job_id text not null, dispatch int not null, attempt int not null,
    pid int not null, process_started bigint not null, at_boot_s double precision not null,
    at_ms bigint not null, host text not null, outcome text not null)"""
"""No unique index: it would hide exactly what the checkers count."""
SEQ_SLACK = 500
"""Numbers are given before rows are visible, so a reading goes back this far: each process writes one row
at a time."""


class Effect(NamedTuple):
    """One row: dispatch ``dispatch`` of a job started or ended in the process ``pid``."""

    seq: int
    kind: str
    """``start`` or ``end``."""
    job_id: str
    dispatch: int
    attempt: int
    pid: int
    process_started: int
    at_boot_s: float
    at_ms: int
    outcome: str


ProcessId = tuple[int, int]
"""Pid and start time in clock ticks: unique for ever."""


def create_effects(url: str) -> None:
    """Make the table where it is missing; rows need not survive a crash of their own server."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE)


def number_of_effects(url: str, query: LiteralString, *values: object) -> int:
    """Ask for one number; 0 where there is none."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query, values).fetchone()
    return 0 if row is None else int(row[0])


def read_effects(url: str, after_seq: int) -> Iterator[Effect]:
    """Give rows in the order of their numbers; some from before ``after_seq`` come again.

    Their wall time is that of this process: a worker's own clock may have been wrong.
    """
    boot_ms = 1000 * (time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
    names = ", ".join(Effect._fields)
    with psycopg.connect(url) as connection, connection.cursor("effects") as cursor:
        cursor.itersize = 5000
        cursor.execute(
            f"select {names} from effects where seq > %s order by seq",
            (after_seq - SEQ_SLACK,),
        )
        for row in cursor:
            effect = Effect(*row)
            yield effect._replace(at_ms=int(boot_ms + 1000 * effect.at_boot_s))


def read_marks(directory: Path) -> dict[ProcessId, float]:
    """Give each worker process's last sign of life (CLOCK_BOOTTIME, seconds)."""
    marks: dict[ProcessId, float] = {}
    for file in directory.iterdir():
        pid, _, started = file.name.partition("-")
        content = file.read_bytes()
        if len(content) == struct.calcsize("d"):
            marks[int(pid), int(started)] = struct.unpack("d", content)[0]
    return marks
