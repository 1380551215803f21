"""``penstock doctor``: what this machine lacks, and the remedy."""

import asyncio
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from adapters.embedded.checks import Check, Outcome, check_machine

_MARKS = {Outcome.GOOD: "[green]✓[/]", Outcome.WARNING: "[yellow]![/]", Outcome.BAD: "[red]✗[/]"}


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
    asked instead of the embedded one.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its refused connections are our findings
    checks = asyncio.run(check_machine(os.environ, data.resolve()))
    healthy = all(check.outcome is not Outcome.BAD for check in checks)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        _print(checks)
    raise typer.Exit(0 if healthy else 1)


def _print(checks: list[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        console.print(f"{_MARKS[check.outcome]} {check.name:<14} {escape(check.detail)}")
        if check.remedy:
            console.print(f"  {'':<14} [bold]{escape(check.remedy)}[/]")
