"""Options that commands of the desk share, and what they mean."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.console import fail
from penstock.cli.dlq_filter import CONDITIONS, LetterFilter
from penstock.cli.dlq_rows import FoundLetter
from penstock.cli.job_argument import job_id
from penstock.client import InvalidFilter

SHOWN = 8
"""Most groups named in a question."""

Jobs = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", parser=job_id, help="Ids of dead jobs.")
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", metavar="CONDITIONS", help=f"Dead jobs with {CONDITIONS}; every condition must hold."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def wanted(jobs: Sequence[str] | None, texts: Sequence[str] | None) -> LetterFilter:
    """Read what a command is about that changes something; ends it when that would be everything."""
    if bool(jobs) == bool(texts):
        fail("name dead jobs by JOB or by --filter", code=2)
    if jobs:
        return LetterFilter(job_ids=tuple(jobs))
    found = any_wanted(texts)
    if found.is_empty:
        fail("a filter needs a condition, such as class=transient or dead-within=1d", code=2)
    return found


def any_wanted(texts: Sequence[str] | None) -> LetterFilter:
    """Read a filter that may be left out."""
    try:
        return LetterFilter.parse(texts or ())
    except InvalidFilter as error:
        fail(str(error), code=2)


def as_written(jobs: Sequence[str] | None, texts: Sequence[str] | None) -> str:
    """Write the filter for the table of acts; many ids are counted."""
    if texts:
        return " ".join(texts)
    named = list(jobs or ())
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return f"job={','.join(named[:SHOWN])}{more}"


def confirm(question: str, would: str, *, yes: bool, as_json: bool) -> None:
    """Ask, unless --yes; ends the command when nobody can answer."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        fail(f"this would {would}; add --yes", code=2)
    if not typer.confirm(question):
        raise typer.Exit(1)


def counted(letters: Sequence[FoundLetter]) -> str:
    """Write how many there are, by what they died of."""
    groups = Counter(one.signature for one in letters)
    parts = [f"{count} of {name}" for name, count in groups.most_common(SHOWN)]
    if len(groups) > SHOWN:
        parts.append(f"{len(groups) - SHOWN} more kinds")
    return f"{jobs_text(len(letters))} ({', '.join(parts)})" if parts else jobs_text(0)


def jobs_text(count: int) -> str:
    """Write a number of dead jobs."""
    return f"{count} dead job{'' if count == 1 else 's'}"
