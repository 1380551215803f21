"""A pipeline whose epoch is changed, as people see it: by commands and by the table."""

import asyncio
import json
from typing import Any

import psycopg
from typer.testing import CliRunner, Result

from penstock.cli.main import build
from penstock.client import Client
from penstock.connection import PipelineNames
from tests.support.pipeline import Pipeline


def run_cli(mine: Pipeline, *arguments: str, code: int = 0, partitions: int | None = None) -> Result:
    """Run a command of ``penstock``, which must end with this code."""
    environment = mine.environment("cli")
    if partitions is not None:
        environment["PENSTOCK_PARTITIONS"] = str(partitions)
    result = CliRunner().invoke(build(arguments[0]), list(arguments), env=environment)
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result


def submit(
    mine: Pipeline, count: int, *, partitions: int | None = None, run_s: float = 0, **options: Any
) -> list[str]:
    """Submit so many equal jobs; give their ids."""

    async def send() -> list[str]:
        names = PipelineNames(
            topic_prefix=mine.routes.prefix, partitions=partitions or mine.routes.partitions
        )
        async with Client(kafka=mine.kafka, names=names) as client:
            sent = [await client.submit("penstock.replay", {"run_s": run_s}, **options) for _ in range(count)]
        return [str(one.job_id) for one in sent]

    return asyncio.run(send())


def states(url: str) -> dict[str, int]:
    """Count the jobs of the table by state."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY 1").fetchall())


def left(mine: Pipeline) -> list[tuple[str, int, list[str]]]:
    """What keeps the epoch: kind, count, examples."""
    said = CliRunner().invoke(
        build("epoch"), ["epoch", "new", "--dry-run", "--json"], env=mine.environment("cli")
    )
    return [(one["what"], one["number"], one["examples"]) for one in json.loads(said.stdout)["left"]]


def drained(mine: Pipeline) -> bool:
    """Whether the command would begin a new epoch."""
    return not left(mine)


def live_executors(mine: Pipeline) -> bool:
    """Whether the lease of an executor may still be good."""
    return any(what == "live executors" for what, _, _ in left(mine))
