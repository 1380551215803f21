"""Composes the command line from its groups, loading only the group that is asked for."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Annotated, NamedTuple

import typer


class Command(NamedTuple):
    """A command, the module whose ``register(app)`` adds it, and its line in the help."""

    name: str
    module: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("up", "up", "Start Kafka, Postgres and all services, and keep them running until Ctrl-C."),
    Command("down", "up", "Stop what `penstock up` started in this directory; the data stay."),
    Command("doctor", "doctor", "Say what this machine lacks, and the remedy."),
    Command("run", "run", "Run one service in the foreground."),
    Command("demo", "demo", "Watch jobs flow, then verify that none was lost or run twice."),
    Command("submit", "submit", "Submit jobs."),
    Command("schedule", "schedule", "Create, show and change recurring jobs."),
    Command("get", "jobs", "Show one job."),
    Command("why", "why", "Say why a job is where it is, and when it starts."),
    Command("list", "jobs", "List jobs."),
    Command("watch", "jobs", "Follow the numbers of jobs by state, or one job."),
    Command("tail", "jobs", "Follow what happens to jobs."),
    Command("logs", "jobs", "Show what a job logged."),
    Command("cancel", "cancel", "Cancel a job, or all that meet a filter."),
    Command("workflow", "workflow", "Submit, show, cancel or retry workflows."),
    Command("train", "train", "Make a model of what became of jobs, or of their failures, and judge it."),
    Command("lab", "lab", "Try policies out where nothing can break."),
    Command("topics", "topics", "List the topics of the pipeline."),
    Command("lag", "topics", "Show how far each service is behind."),
    Command("sql", "database", "Ask the database."),
    Command("purge", "database", "Remove old finished jobs from the table."),
    Command("rebuild", "rebuild", "Make the tables once more from the ledger."),
    Command("rejected", "rejected", "Show records that were not valid jobs."),
    Command("pause", "holds", "Let nothing of a type, tenant or pool start until it is resumed."),
    Command("resume", "holds", "Let what was paused start again."),
    Command("paused", "holds", "List what is paused, and how many jobs are held for it."),
    Command("limit", "holds", "Let jobs of a type or tenant start no more often than this."),
    Command("limits", "holds", "List rate limits, and how many jobs are held for them."),
    Command(
        "circuits",
        "circuits",
        "Show what is down and how many jobs wait for it; open and close circuits by hand.",
    ),
    Command("order", "order", "Show ordering keys that are busy, or let a blocked one go on."),
    Command("dlq", "dlq", "Look at dead jobs, try them again, or settle them."),
    Command("models", "models", "Show trained models, and say which are in force."),
    Command("retries", "retries", "Judge how delays of retries are chosen."),
    Command("services", "services", "List running instances, and whose wall clock is wrong."),
    Command(
        "plan",
        "plan",
        "Say what a rate of jobs needs: partitions, instances, executors, brokers and database.",
    ),
    Command("executors", "executors", "List or drain executors."),
    Command("epoch", "epoch", "Show the epoch of the topics, or begin a new one."),
)
"""Kept equal to what the modules register by a test: the help is shown without importing them."""


def main() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong usage."""
    build(_first_word(sys.argv[1:]))()


def build(wanted: str | None) -> typer.Typer:
    """Make the application with the one wanted command loaded and a line of help for the others."""
    app = typer.Typer(
        name="penstock",
        help="A job pipeline on Kafka.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    loaded = {command.module for command in COMMANDS if command.name == wanted}
    registered = set()
    for command in COMMANDS:
        module = f"penstock.cli.{command.module}"
        if command.module in loaded:
            if command.module not in registered:
                import_module(module).register(app)
                registered.add(command.module)
        elif find_spec(module) is not None:
            app.command(command.name, help=command.summary)(_not_loaded)
    return app


def _first_word(arguments: list[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def _not_loaded() -> None:
    raise AssertionError("only the wanted command is ever run")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"penstock {package_version()}")
        raise typer.Exit


def package_version() -> str:
    """Give the installed version, or ``0+source`` for a tree that is not installed."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "0+source"


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run a job pipeline on Kafka."""
