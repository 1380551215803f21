"""``penstock up`` and ``penstock down``: a whole pipeline on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from adapters.embedded.home import Home, HomeInUseError
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY, Plan, child_environment
from adapters.embedded.state import Step
from adapters.embedded.supervisor import METRICS_KEY, supervise
from penstock.cli.attach import follow_start, stop_pipeline
from penstock.cli.run import Apps, app_setting

DataOption = Annotated[Path, typer.Option("--data", help="Directory that keeps everything.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DEFAULT_DATA = Path(".penstock")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)


def up(
    data: DataOption = DEFAULT_DATA,
    app: Apps = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything runs.")] = False,
    executors: Annotated[int, typer.Option(min=1, help="Executor processes.")] = 1,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Start Kafka and Postgres, and no service.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Kafka, Postgres and all services, and keep them running until Ctrl-C.

    A Kafka in PENSTOCK_KAFKA_BOOTSTRAP or a Postgres in PENSTOCK_DATABASE_URL is used instead of an
    embedded one.
    """
    environment = dict(os.environ) | app_setting(app)
    plan = Plan(data, environment, replicas={"executor": executors})
    if servers_only:
        plan = replace(plan, services=(), prepare=None)
    announce = Announcement(Home(data.resolve()), as_json=as_json)
    try:
        code = _detached(plan, announce) if detach else supervise(plan, announce.step, announce.ready)
    except HomeInUseError as error:
        announce.error(str(error))
        code = 1
    raise typer.Exit(code)


def down(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Stop what `penstock up` started in this directory; the data stay."""
    started_s = time.monotonic()
    outcome = stop_pipeline(Home(data.resolve()))
    took_s = round(time.monotonic() - started_s, 1)
    if as_json:
        typer.echo(json.dumps({"outcome": outcome.name.lower(), "seconds": took_s}))
    else:
        typer.echo(f"{outcome.value} ({took_s} s)")
    raise typer.Exit(0 if outcome.is_good else 1)


class Announcement:
    """What a person, or a program with ``--json``, sees of a start.

    Progress goes to standard error when the result is JSON, so that standard output holds nothing else.
    """

    def __init__(self, home: Home, *, as_json: bool) -> None:
        self._home = home
        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        self._started_s = time.monotonic()

    def step(self, step: Step) -> None:
        """Show one step."""
        if step.problem:
            self._console.print(f"[red]✗[/] {escape(step.what)}: {escape(step.problem)}")
        else:
            self._console.print(f"[green]✓[/] {escape(step.what)} [dim]({step.took_s:.1f} s)[/]")

    def error(self, message: str) -> None:
        """Say why nothing was started."""
        typer.echo(f"penstock up: {message}", err=True)

    def ready(self, settings: Mapping[str, str]) -> None:
        """Show where everything is and what to try next."""
        took_s = round(time.monotonic() - self._started_s, 1)
        if self._as_json:
            typer.echo(json.dumps(self._summary(settings, took_s)))
            return
        env_file = _shown(self._home.env_file)
        option = "" if self._home.root == DEFAULT_DATA.resolve() else f" --data {_shown(self._home.root)}"
        self._console.print(
            f"\n[bold]Ready after {took_s} s.[/]\n"
            f"  Kafka     {settings[KAFKA_KEY]}\n"
            f"  Postgres  {_without_password(settings[DATABASE_KEY])}\n"
            f"  Settings  {env_file}\n"
            f"  Logs      {_shown(self._home.logs)}\n\n"
            f"Try, in another terminal:\n"
            f"  set -a; . {env_file}; set +a\n"
            f"  penstock submit penstock.replay --payload '{{\"run_s\": 0.1}}'\n"
            f"  penstock list\n"
            f"  penstock down{option}\n"
        )

    def _summary(self, settings: Mapping[str, str], took_s: float) -> dict[str, object]:
        return {
            "kafka_bootstrap": settings[KAFKA_KEY],
            "database_url": settings[DATABASE_KEY],
            "metrics": _ports(settings),
            "data": str(self._home.root),
            "env_file": str(self._home.env_file),
            "seconds": took_s,
        }


def _detached(plan: Plan, announce: Announcement) -> int:
    """Start a supervisor that outlives this command; give the exit code when it runs or has failed."""
    home = Home(plan.data.resolve())
    home.create()
    argv = (
        *("-P", "-m", "penstock", "up", "--data", str(home.root)),
        *("--executors", str(plan.replicas["executor"])),
        *(() if plan.services else ("--servers-only",)),
    )
    with home.log("supervisor").open("ab") as log:
        process = subprocess.Popen(
            (sys.executable, *argv),
            env=child_environment(plan.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return follow_start(home, process, announce.step, announce.ready)
    except KeyboardInterrupt:  # before it was handed over, the start belongs to this command
        process.terminate()
        process.wait()
        return 1


def _ports(settings: Mapping[str, str]) -> dict[str, int]:
    pairs = (pair.rpartition(":") for pair in settings[METRICS_KEY].split(",") if pair)
    return {name: int(port) for name, _, port in pairs}


def _without_password(url: str) -> str:
    head, at, place = url.rpartition("@")
    scheme, _, account = head.partition("://")
    return f"{scheme}://{account.split(':', 1)[0]}@{place}" if at else url


def _shown(path: Path) -> str:
    """Give a path as short as it can be written from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
