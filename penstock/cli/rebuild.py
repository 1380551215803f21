"""``penstock rebuild``: the tables from the ledger once more, or only whether they are what it says."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import psycopg
import typer

from adapters.kafka.admin import require_epoch
from adapters.kafka.reader import KafkaReader
from adapters.postgres import scratch
from adapters.postgres.refold import STAGE
from adapters.postgres.scratch import RowDifference, scratch_address, settled
from adapters.postgres.sink import PostgresTable
from adapters.telemetry.prometheus import PrometheusMeter
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json
from penstock.cli.queries import CONNECT_TIMEOUT_S
from penstock.cli.refold import Refold
from ports.snapshots import SnapshotReader
from schemas.control import EpochRecord

SHOWN = 20
"""Most rows that are listed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rebuild")(rebuild)


@command
async def rebuild(
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare; exit code 1 when something differs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make the tables once more from the ledger.

    Folds it into scratch tables (schema penstock_rebuild of the same database), then writes the rows that
    differ in one transaction. The materializer may run: it waits for that transaction, and goes on from
    there. Interrupted, run it again: folding goes on where it was. Of a ledger that was trimmed only what
    is left can be told: other rows are kept as they are.
    """
    where = connections(data)
    if not verify and not yes:
        if not sys.stdin.isatty():
            fail(
                "rows that differ from the ledger would be overwritten: repeat with --yes, or --verify",
                code=2,
            )
        typer.confirm("overwrite the rows that differ from the ledger?", abort=True)
    epoch = await require_epoch(where.kafka, where.routes)
    async with _opened(where, epoch, as_json=as_json) as (connection, live, refold):
        if verify:
            outcome = await _verify(connection, live, refold, epoch)
        else:
            outcome = await _rebuild(connection, live, refold, epoch)
        await scratch.drop(connection)
    _tell(outcome, as_json=as_json)
    if verify and outcome["differing_rows"]:
        raise typer.Exit(1)


@asynccontextmanager
async def _opened(
    where: Connections, epoch: EpochRecord, *, as_json: bool
) -> AsyncIterator[tuple[scratch.Connection, str, Refold]]:
    async with AsyncExitStack() as stack:
        connection = await psycopg.AsyncConnection.connect(
            where.database.conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="penstock-rebuild",
        )
        stack.push_async_callback(connection.close)
        live = await scratch.create(connection, epoch.epoch)
        reader, snapshots = (KafkaReader(where.kafka, client_id=f"penstock-rebuild-{n}") for n in (1, 2))
        for one in (reader, snapshots):
            await one.start()
            stack.push_async_callback(one.close)
        table = PostgresTable(
            scratch_address(where.database.conninfo, live),
            stage=STAGE,
            epoch=epoch.epoch,
            meter=PrometheusMeter(),
        )
        stack.push_async_callback(table.close)
        store = SnapshotReader(where.routes, epoch.epoch, snapshots)
        report = _quiet if as_json else _progress
        yield connection, live, Refold(where.routes, epoch.epoch, reader, store, table, report)


async def _verify(
    connection: scratch.Connection, live: str, refold: Refold, epoch: EpochRecord
) -> dict[str, Any]:
    async with settled(connection, live, STAGE, epoch.epoch) as tables:
        first = await tables.positions()
    await _open(connection, refold, epoch, within=first)
    await refold.fold_to(first)
    async with settled(connection, live, STAGE, epoch.epoch) as tables:
        positions = await tables.positions()
        await refold.fold_to(positions)
        total, listed = await tables.differences(whole=refold.is_whole, limit=SHOWN)
    return _outcome(refold, positions, differing_rows=total, first=[_as_json(one) for one in listed])


async def _open(
    connection: scratch.Connection,
    refold: Refold,
    epoch: EpochRecord,
    within: Mapping[int, int] | None = None,
) -> None:
    """Go on from what an interrupted run left, unless it is too far or not far enough for that."""
    if await refold.open(within=within):
        await scratch.drop(connection)
        await scratch.create(connection, epoch.epoch)
        await refold.open(within=within)


async def _rebuild(
    connection: scratch.Connection, live: str, refold: Refold, epoch: EpochRecord
) -> dict[str, Any]:
    await _open(connection, refold, epoch)
    await refold.fold_to(await refold.ends())
    async with settled(connection, live, STAGE, epoch.epoch) as tables:
        await refold.fold_to(await tables.positions())
        changed = await tables.replace(refold.positions, whole=refold.is_whole)
    return _outcome(refold, refold.positions, changed_rows=changed)


def _outcome(refold: Refold, positions: Mapping[int, int], **found: Any) -> dict[str, Any]:
    begins = {str(number): start for number, start in sorted(refold.begins.items()) if start}
    return {
        "ledger_records": sum(positions.values()) - sum(refold.begins.values()),
        "from_the_beginning": refold.is_whole,
        "begins_at": begins,
        **found,
    }


def _as_json(difference: RowDifference) -> dict[str, Any]:
    return {
        "row": difference.row,
        "missing_in": difference.missing_in or None,
        "columns": {
            name: {"table": found, "log": said} for name, (found, said) in difference.columns.items()
        },
    }


def _tell(outcome: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(outcome)
        return
    if outcome["begins_at"]:
        say("the ledger was trimmed: rows of what it no longer holds were neither compared nor changed")
    if "changed_rows" in outcome:
        changed = ", ".join(f"{count} in {table}" for table, count in outcome["changed_rows"].items())
        say(f"rebuilt from {outcome['ledger_records']} records; rows changed: {changed}")
        return
    for one in outcome["first"]:
        say("\n".join(_lines(one)))
    rows = outcome["differing_rows"]
    say(f"{rows or 'no'} rows differ from {outcome['ledger_records']} records of the ledger")


def _lines(difference: dict[str, Any]) -> list[str]:
    name = difference["row"]
    match difference["missing_in"]:
        case "table":
            return [f"{name}: the log has it, the table has not"]
        case "log":
            return [f"{name}: the table has it, the log has not"]
        case _:
            return [
                f"{name}: {column} is {sides['table']!r}, the log says {sides['log']!r}"
                for column, sides in difference["columns"].items()
            ]


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rfolded {done:,} of {total:,} records ")
        sys.stderr.flush()


def _quiet(_done: int, _total: int) -> None:
    """JSON stands alone."""
