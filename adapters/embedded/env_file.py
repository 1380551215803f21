"""``penstock.env``: the addresses of a pipeline as ``KEY=VALUE`` lines a shell can source too."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from adapters.embedded.home import write_atomically

PREFIX = "PENSTOCK_"
OWN_TO_A_PROCESS = frozenset({"PENSTOCK_INSTANCE", "PENSTOCK_METRICS_PORT"})
"""Differ between processes, so they are never handed on through the file."""


class EnvFileError(Exception):
    """The file cannot be read as ``KEY=VALUE`` lines; a person mends or removes it."""


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Write the file, readable by its owner only: it holds the password of the database."""
    lines = [f"{key}={shlex.quote(value)}\n" for key, value in sorted(values.items())]
    write_atomically(path, "".join(lines).encode(), 0o600)


def read_env(path: Path) -> dict[str, str]:
    """Read what ``write_env`` wrote, or lines written by hand (comments and blank lines are skipped).

    Raises
    ------
    EnvFileError
        No such file, or a line that is not ``KEY=VALUE``.
    """
    values = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EnvFileError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        key, equals, raw = line.strip().partition("=")
        if not key or key.startswith("#"):
            continue
        try:
            words = shlex.split(raw)
        except ValueError as error:
            raise EnvFileError(f"{path}, line {number}: {error}") from error
        if not equals or len(words) > 1:
            raise EnvFileError(f"{path}, line {number}: not KEY=VALUE")
        values[key] = words[0] if words else ""
    return values


def pipeline_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the ``PENSTOCK_*`` settings that hold for all processes of a pipeline."""
    return {
        key: value
        for key, value in environment.items()
        if key.startswith(PREFIX) and key not in OWN_TO_A_PROCESS
    }
