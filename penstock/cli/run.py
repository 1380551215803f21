"""``penstock run``: one service in the foreground."""

import os
from pathlib import Path
from typing import Annotated

import typer

from adapters.embedded.env_file import EnvFileError, read_env
from adapters.embedded.home import Home
from adapters.embedded.plan import child_environment, service_command
from core.services import SERVICES

NAMES = tuple(spec.name for spec in SERVICES)

Apps = Annotated[
    list[str] | None,
    typer.Option("--app", help="Module with @task functions; repeat for several.", metavar="MODULE"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(NAMES)}.")],
    app: Apps = None,
    env_file: Annotated[
        Path | None, typer.Option(help="Settings as KEY=VALUE lines; the environment goes before them.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Take the settings of the pipeline in this directory.")
    ] = None,
) -> None:
    """Run one service in the foreground.

    This process becomes the service: signals and exit code are the service's own.
    """
    if service not in NAMES:
        raise typer.BadParameter(f"no service {service!r}; one of {', '.join(NAMES)}")
    if env_file is None and data is not None:
        env_file = Home(data).env_file
    try:
        settings = read_env(env_file) if env_file is not None else {}
    except EnvFileError as error:
        typer.echo(f"penstock run: {error}", err=True)
        raise typer.Exit(1) from None
    environment = child_environment(settings | os.environ | app_setting(app))
    command = service_command(service)
    os.execve(command[0], command, environment)  # noqa: S606 - becoming the service is the purpose


def app_setting(modules: list[str] | None) -> dict[str, str]:
    """Give the setting that names the modules; nothing when none is given."""
    return {"PENSTOCK_APP": ",".join(modules)} if modules else {}
