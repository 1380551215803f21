"""``penstock doctor``: what this machine lacks, whose clock is wrong, and the remedy."""

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape

from adapters.embedded.checks import Check, Outcome, check_machine
from adapters.embedded.env_file import EnvFileError
from adapters.embedded.home import Home
from penstock.cli.connect import connections
from penstock.cli.learned import check_features, features_lag_s
from penstock.cli.services import Instance, describe_skew, running_instances
from penstock.errors import PenstockError

_MARKS = {Outcome.GOOD: "[green]✓[/]", Outcome.WARNING: "[yellow]![/]", Outcome.BAD: "[red]✗[/]"}

ANSWER_TIMEOUT_S = 10.0
"""A running pipeline is given so long to say who runs."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    data: Annotated[Path, typer.Option("--data", help="Directory that would keep everything.")] = Path(
        ".penstock"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Say what this machine lacks, and the remedy.

    Exit code 1 when `penstock up` would not work. A Kafka or Postgres named in the environment is
    asked instead of the embedded one. Of a pipeline that runs, instances whose wall clock is wrong are named,
    and features that are late.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its refused connections are our findings
    checks = asyncio.run(_check(data.resolve()))
    healthy = all(check.outcome is not Outcome.BAD for check in checks)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        _print(checks)
    raise typer.Exit(0 if healthy else 1)


async def _check(data: Path) -> list[Check]:
    checks = await check_machine(os.environ, data)
    try:
        where = connections(data if Home(data).env_file.exists() else None)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            found = await running_instances(where)
            behind_s = await features_lag_s(where)
    except (PenstockError, EnvFileError, KafkaError, OSError, TimeoutError):
        # There is no pipeline, or it is down: what of that is a fault is among the checks.
        return checks
    return [*checks, check_clocks(found), check_features(behind_s)] if found else checks


def check_clocks(found: Sequence[Instance]) -> Check:
    """Name the instances whose wall clock is off the broker's."""
    wrong = [one for one in found if one.clock_is_wrong]
    if not wrong:
        return Check("clocks", Outcome.GOOD, f"{len(found)} instances agree with the broker")
    named = ", ".join(f"{one.presence.instance} is {describe_skew(one.skew_s)}" for one in wrong)
    hosts = ", ".join(sorted({one.presence.host for one in wrong}))
    remedy = f"correct the clock of {hosts} (chrony, ntpd); nothing starts early or late for it"
    return Check("clocks", Outcome.WARNING, named, remedy)


def _print(checks: list[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        console.print(f"{_MARKS[check.outcome]} {check.name:<14} {escape(check.detail)}")
        if check.remedy:
            console.print(f"  {'':<14} [bold]{escape(check.remedy)}[/]")
