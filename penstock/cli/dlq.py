"""``penstock dlq``: dead jobs in groups, looked at, tried again, settled, exported; and who did what."""

from typing import Annotated

import typer

from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.dlq_change import drop, redrive
from penstock.cli.dlq_desk import at_the_desk
from penstock.cli.dlq_export import export
from penstock.cli.dlq_rows import newest_acts
from penstock.cli.dlq_show import show, summary
from penstock.cli.queries import connected
from schemas.desk import ActKind

_ACT_COLUMNS = ("when", "who", "what", "found", "count", "outcome", "filter", "reason", "edit", "words")
Reason = Annotated[str, typer.Option(help="Why, for whoever looks later.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Look at dead jobs, try them again, or settle them.")
    group.command("summary")(summary)
    group.command("show")(show)
    group.command("redrive")(redrive)
    group.command("drop")(drop)
    group.command("export")(export)
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("acts")(acts)
    app.add_typer(group, name="dlq")


@command
async def pause(reason: Reason = "", data: DataOption = None) -> None:
    """Pause all redrives.

    Those under way redrive no more jobs and wait, within a second; those begun later wait, too. What was
    redriven already runs on.
    """
    async with at_the_desk(connections(data)) as desk:
        paused = await desk.paused()
        if paused is not None:
            say(f"redrives are paused already, by {paused.by}")
            return
        await desk.begin(ActKind.PAUSE, reason=reason)
    say("redrives are paused; `penstock dlq resume` lets them go on")


@command
async def resume(reason: Reason = "", data: DataOption = None) -> None:
    """Let paused redrives go on."""
    async with at_the_desk(connections(data)) as desk:
        if await desk.paused() is None:
            say("redrives are not paused")
            return
        await desk.begin(ActKind.RESUME, reason=reason)
    say("redrives go on")


@command
async def acts(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List what was done with dead jobs, by whom, when and why; the newest first.

    The view `v1_desk_acts` has all of it.
    """
    if limit < 1:
        fail("--limit is less than 1", code=2)
    async with connected(connections(data).database) as database:
        rows = await newest_acts(database, limit)
    if as_json:
        show_json(rows)
        return
    if not rows:
        say("nobody has done anything at the desk yet")
        return
    show_table(
        _ACT_COLUMNS,
        [
            (
                f"{row['said_at']:%Y-%m-%d %H:%M:%S}",
                *(row[name] for name in ("said_by", "what", "found", "count", "outcome")),
                *(row[name] for name in ("filter", "reason", "edit", "words")),
            )
            for row in rows
        ],
    )
