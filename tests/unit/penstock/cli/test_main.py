"""The composition of the command line."""

import time
from importlib.util import find_spec

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from core.services import SERVICES
from penstock.cli.main import COMMANDS, Command, build

PRESENT = [command for command in COMMANDS if find_spec(f"penstock.cli.{command.module}") is not None]
HELP_MAX_S = 2.0
"""Generous: measured at 0.2 s; importing every group takes more than this on a slow machine."""


@pytest.mark.parametrize("command", PRESENT, ids=lambda command: command.name)
def test_a_module_registers_exactly_the_commands_listed_for_it(command: Command) -> None:
    loaded = get_group(build(command.name)).commands
    assert set(loaded) == {other.name for other in PRESENT}
    ours = loaded[command.name]
    is_group = hasattr(ours, "commands")
    assert is_group or getattr(ours.callback, "__module__", "") != "penstock.cli.main"


@pytest.mark.parametrize("command", PRESENT, ids=lambda command: command.name)
def test_the_line_in_the_help_is_that_of_the_command_itself(command: Command) -> None:
    loaded = get_group(build(command.name)).commands[command.name]
    assert (loaded.help or "").split("\n")[0] == command.summary


def test_the_help_lists_every_command_without_loading_one() -> None:
    started_s = time.perf_counter()
    result = CliRunner().invoke(build(None), ["--help"])
    assert time.perf_counter() - started_s < HELP_MAX_S
    assert result.exit_code == 0
    for command in PRESENT:
        assert command.name in result.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["no-such-command"], 2), (["up", "--no-such-option"], 2), (["run", "no-such"], 2)],
)
def test_exit_codes_tell_wrong_usage(arguments: list[str], code: int) -> None:
    assert CliRunner().invoke(build(arguments[0]), arguments).exit_code == code


def test_run_names_the_services_it_knows() -> None:
    result = CliRunner().invoke(build("run"), ["run", "no-such"])
    for spec in SERVICES:
        assert spec.name in result.output
