"""``penstock dlq export``: dead jobs as lines of JSON or CSV, with what is sensitive masked."""

import csv
import sys
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer

from core.desk import choose
from core.masking import mask
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import command, fail
from penstock.cli.dlq_attempts import shown_text
from penstock.cli.dlq_desk import Desk, at_the_desk
from penstock.cli.dlq_letters import DeadLetter, letters
from penstock.cli.dlq_options import Filter, any_wanted, as_written
from penstock.cli.dlq_rows import FoundLetter, letters_meeting
from schemas.codec import encode
from schemas.desk import ActKind, Letter, Outcome

PORTION = 500
FIELDS = (
    *("job_id", "type", "tenant", "signature", "error_class", "error_type", "message", "reason", "failures"),
    *("losses", "dead_at", "labels", "payload", "traceback", "log_tail"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell must not begin with: spreadsheets would compute it."""


class Format(StrEnum):
    """How it is written."""

    JSONL = "jsonl"
    CSV = "csv"


@command
async def export(
    filter_: Filter = None,
    format_: Annotated[
        Format, typer.Option("--format", help="One JSON object a line, or CSV.")
    ] = Format.JSONL,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file, which must not exist, instead of standard output."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks later.")] = "",
    data: DataOption = None,
) -> None:
    """Write dead jobs out, with error, traceback, log lines and payload.

    What producers called sensitive is masked. Dropped ones are left out. Without a filter it is all of them.
    """
    about = any_wanted(filter_)
    async with at_the_desk(connections(data)) as desk:
        found = {one.candidate.job_id: one for one in await letters_meeting(desk.database, about)}
        chosen = choose((one.candidate for one in found.values()), redrives_max=None)
        taken = [found[one.job_id] for one in chosen.taken]
        with ExitStack() as stack:
            file = _opened(output, stack)
            written = as_written(None, filter_) if filter_ else "all"
            act = await desk.begin(ActKind.EXPORT, filter_=written, reason=reason, found=len(taken))
            count = await _write(desk, taken, act, _writer(file, format_))
        missing = len(taken) - count
        lost = f", {missing} without a letter" if missing else ""
        await desk.end(act, Outcome.DONE, f"{count} written{lost}")
    sys.stderr.write(f"wrote {count} dead jobs{lost}\n")


def _opened(output: Path | None, stack: ExitStack) -> TextIO:
    if output is None:
        return sys.stdout
    try:
        return stack.enter_context(output.open("x", encoding="utf-8", newline=""))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", code=2)


async def _write(
    desk: Desk, taken: list[FoundLetter], act: str, write: Callable[[dict[str, Any]], None]
) -> int:
    count = 0
    async with letters(desk.kafka, desk.routes, taken) as source:
        while portion := await source.take(PORTION):
            told = [Letter(one.found.candidate.job_id, one.found.candidate.n) for one in portion]
            await desk.treat(act, ActKind.EXPORT, told)
            for one in portion:
                write(exported(one))
            count += len(portion)
    return count


def exported(one: DeadLetter) -> dict[str, Any]:
    """Give what is written of a dead job."""
    dead, last = one.letter, one.letter.last
    job = last.job
    return {
        "job_id": job.job_id,
        "type": job.type,
        "tenant": job.tenant,
        "signature": one.found.signature,
        "error_class": dead.error_class,
        "error_type": last.error_type,
        "message": shown_text(last, last.message),
        "reason": dead.reason,
        "failures": dead.failures,
        "losses": dead.losses,
        "dead_at": one.found.dead_at,
        "labels": job.labels,
        "payload": msgspec.Raw(mask(bytes(job.payload), job.sensitive)),
        "traceback": shown_text(last, last.traceback),
        "log_tail": [shown_text(last, line) for line in last.log_tail],
    }


def _writer(file: TextIO, format_: Format) -> Callable[[dict[str, Any]], None]:
    if format_ is Format.JSONL:
        return lambda row: _line(file, encode(row).decode())
    rows = csv.writer(file)
    rows.writerow(FIELDS)
    return lambda row: rows.writerow([cell(row[name]) for name in FIELDS])


def _line(file: TextIO, text: str) -> None:
    file.write(text + "\n")


def cell(value: object) -> str:
    """Write a value for CSV; one that a spreadsheet would compute begins with an apostrophe."""
    match value:
        case None:
            return ""
        case str() as text:
            return f"'{text}" if text.startswith(_FORMULA) else text
        case int() | float():
            return str(value)
        case _:
            return encode(value).decode().strip('"')
