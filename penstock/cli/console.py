"""What people see: tables, JSON, and errors as one line with the remedy; exit codes 0, 1, 2."""

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Annotated, Any, NoReturn, ParamSpec

import orjson
import psycopg
import typer
from aiokafka.errors import KafkaConnectionError, KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adapters.embedded.env_file import EnvFileError
from adapters.kafka.admin import EpochError
from core.gates.id_gate import GateGapError
from penstock.client import InvalidJob
from penstock.errors import PenstockError
from ports.log import OffsetOutOfRangeError
from schemas.codec import UnreadableRecordError

P = ParamSpec("P")
WIDTH_WHEN_PIPED = 240
"""Columns of a table that no terminal shows: wide enough that no id is cut."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

EXPECTED = (
    PenstockError,
    EnvFileError,
    EpochError,
    GateGapError,
    KafkaError,
    OffsetOutOfRangeError,
    UnreadableRecordError,
    psycopg.Error,
    ConnectionError,
    TimeoutError,
)
"""What a command meets when something is away, missing or of another version: a message, no traceback."""


def command(work: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a command of a coroutine function: runs it, and turns errors into messages and exit codes."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        # The clients log every refused connection; the message below says it once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        try:
            asyncio.run(work(*args, **kwargs))
        except BrokenPipeError:
            raise
        except InvalidJob as error:
            fail(str(error), code=2)
        except EXPECTED as error:
            fail(explain(error))

    return run


def explain(error: Exception) -> str:
    """Say in one line what went wrong and what to do."""
    match error:
        case KafkaConnectionError():
            return "no Kafka answers: is the pipeline up? `penstock up` starts one, `penstock doctor` looks"
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return f"{_first_line(error)}: the tables are not there or of another version; run `penstock up`"
        case psycopg.OperationalError():
            return f"Postgres: {_first_line(error)}; is the pipeline up?"
        case psycopg.errors.SyntaxError() if "multiple commands" in str(error):
            return "one statement at a time: leave out what follows the first semicolon"
        case psycopg.Error():
            return _first_line(error)
        case TimeoutError() if not str(error):
            return "no answer in time; is the pipeline up?"
        case KafkaError():
            return f"Kafka: {error!r}"
        case _:
            return str(error)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a message on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]penstock:[/red] {escape(message)}")
    raise typer.Exit(code)


def out() -> Console:
    """Give the console of standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_WHEN_PIPED)


def say(text: str) -> None:
    """Print plain text, never cut or taken for markup."""
    typer.echo(text)


def show_json(value: object) -> None:
    """Print one JSON document on one line; times are RFC 3339, unknown kinds their text."""
    sys.stdout.write(orjson.dumps(value, default=str).decode() + "\n")
    sys.stdout.flush()


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """Make a table; a column of numbers is set to the right."""
    cells = [list(row) for row in rows]
    table = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for index, column in enumerate(columns):
        kinds = {type(row[index]) for row in cells if row[index] is not None}
        numbers = bool(kinds) and kinds <= {int, float}
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(escape(cell_text(cell)) for cell in row))
    return table


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table."""
    out().print(table_of(columns, rows, title=title))


def cell_text(value: object) -> str:
    """Write one value for a table: nothing for None, at most three digits after the point."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            text = f"{value:.3f}".rstrip("0").rstrip(".")
            return "0" if text == "-0" else text
        case dict() | list():
            return orjson.dumps(value, default=str).decode()
        case _:
            return str(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
