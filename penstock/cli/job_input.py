"""Jobs as typed on the command line or read from a file, checked against the contract before sending."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import orjson
import typer

from penstock.client import Job
from schemas.job_parser import parse_job
from schemas.rejection import Rejection
from schemas.strict_json import parse_object

STANDARD_INPUT = Path("-")


def read_payload(text: str) -> Any:
    """Read ``--payload``: JSON, or ``@FILE`` with JSON in it.

    Raises
    ------
    typer.BadParameter
        It is no JSON, or the file cannot be read.
    """
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {text[1:]}: {error.strerror}") from error
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(
            f"the payload is not JSON ({error}): quote it for the shell, such as --payload '{{\"to\": 1}}'"
        ) from error


def read_labels(pairs: Iterable[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` pairs.

    Raises
    ------
    typer.BadParameter
        One of them has no ``=``.
    """
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--label {pair!r}: write KEY=VALUE")
        labels[key] = value
    return labels


def checked(members: Mapping[str, Any], what: str = "the job") -> Job:
    """Give the members as a job if the contract takes them.

    Raises
    ------
    typer.BadParameter
        Naming field, value and remedy.
    """
    try:
        refusal = parse_job(orjson.dumps(dict(members)))
    except TypeError as error:
        raise typer.BadParameter(f"{what}: {error}") from error
    if isinstance(refusal, Rejection):
        raise typer.BadParameter(f"{what}: {explained(refusal)}")
    return cast("Job", dict(members))


def jobs_of_lines(lines: Iterable[bytes], defaults: Mapping[str, Any]) -> Iterator[Job]:
    """Read one job a line; ``defaults`` fill the fields a line leaves out. Blank lines are skipped.

    Raises
    ------
    typer.BadParameter
        Naming the line, the field and the remedy.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        document = parse_object(line)
        if isinstance(document, Rejection):
            raise typer.BadParameter(f"line {number}: {explained(document)}")
        yield checked({**defaults, **document.members}, f"line {number}")


def read_lines(file: Path) -> list[bytes]:
    """Read the lines of a file, or of standard input for ``-``.

    Raises
    ------
    typer.BadParameter
        It cannot be read.
    """
    try:
        raw = typer.get_binary_stream("stdin").read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    return raw.split(b"\n")


def explained(refusal: Rejection) -> str:
    """Write a refusal as one line."""
    field = "" if refusal.field is None else f"field `{refusal.field}`: "
    value = "" if refusal.value_excerpt is None else f" (got {refusal.value_excerpt})"
    return f"{field}{refusal.message}{value}; {refusal.remedy}"
