"""The tables of the desk: what the topic says, also when who writes them dies between two effects."""

import signal
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from adapters.postgres.migrate import upgrade
from penstock.connection import DatabaseConnection
from schemas.desk import ActBegun, ActEnded, ActKind, DeskRecord, Letter, Outcome, desk_record, portions
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import wait_until
from tests.support.servers import Servers

JOBS = [f"00000000-0000-7000-8000-{number:012d}" for number in range(3)]
SAID: dict[str, list[DeskRecord]] = {
    "open": [ActBegun("a1", ActKind.REDRIVE, "cli:ann", "fixed", "type=a.b", 3, 5.0, "sets /to")],
    "moved": [*portions("a1", ActKind.REDRIVE, [Letter(job, 1) for job in JOBS])],
    "merged": [ActEnded("a1", Outcome.DONE, "all"), ActBegun("a2", ActKind.DROP, "cli:bob", found=1)],
    "committed": [*portions("a2", ActKind.DROP, [Letter(JOBS[0], 2)])],
}
"""By where the writer is killed that reads them first."""


def say(mine: Pipeline, *messages: DeskRecord) -> None:
    mine.append([desk_record(mine.routes, message) for message in messages])


def rows(url: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM v1_desk_acts ORDER BY act").fetchall()


def test_the_tables_show_acts_wherever_their_writer_dies(
    servers: Servers, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    upgrade(DatabaseConnection.model_validate({"url": database_url}))
    with pipeline(servers, topic_prefix, tmp_path, database_url=database_url) as mine:
        for point, messages in SAID.items():
            say(mine, *messages)
            dies = {"PENSTOCK_FAILPOINTS": f"materializer.desk_{point}:kill"}
            with mine.start("materializer", **dies) as program:
                wait_until(lambda: program.process.poll() is not None, f"the writer's death at {point}", 60)
                assert program.process.returncode == -signal.SIGKILL, program.output
        with mine.running("materializer"):
            say(mine, ActBegun("a3", ActKind.PAUSE, "cli:ann", "a look"))
            wait_until(lambda: len(rows(database_url)) == 3, "three acts", 60)
        one, two, three = rows(database_url)
    assert (one["what"], one["said_by"], one["filter"], one["reason"], one["found"], one["count"]) == (
        *("redrive", "cli:ann", "type=a.b", "fixed", 3, 3),
    )
    assert (one["rate_per_s"], one["edit"], one["outcome"], one["words"]) == (5.0, "sets /to", "done", "all")
    assert (two["what"], two["count"], two["ended_at"]) == ("drop", 1, None)
    assert (three["what"], three["reason"], three["count"]) == ("pause", "a look", 0)
