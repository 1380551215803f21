"""The options of ``penstock schedule create``."""

from datetime import timedelta
from typing import Annotated

import typer

from core.schedules import CatchUp, Overlap
from penstock.cli.times import duration, time_ahead

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]
Type = Annotated[str, typer.Argument(metavar="TYPE", help="Task that runs its jobs, such as report.daily.")]
Cron = Annotated[
    str | None,
    typer.Option(metavar="EXPRESSION", help="minute hour day month weekday, or with the second first."),
]
Zone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin. Default UTC.")
]
Every = Annotated[
    timedelta | None,
    typer.Option(metavar="DURATION", parser=duration, help="Fixed interval, such as 5m; at least 1s."),
]
Anchor = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        parser=time_ahead,
        help="A tick of --every; the others lie whole intervals from it. Default 1970-01-01T00:00:00Z.",
    ),
]
At = Annotated[
    str | None, typer.Option(metavar="TIME", parser=time_ahead, help="Once, at this time: RFC 3339, or +10m.")
]
CatchUpOption = Annotated[
    CatchUp,
    typer.Option(
        "--catch-up",
        help="Of ticks missed while no scheduler ran or the schedule was paused: skip them, fire the latest, "
        "or all within --catch-up-window.",
    ),
]
Window = Annotated[
    timedelta,
    typer.Option(
        "--catch-up-window", metavar="DURATION", parser=duration, help="How far back --catch-up all goes."
    ),
]
OverlapOption = Annotated[
    Overlap,
    typer.Option(
        "--overlap",
        help="While an earlier tick's job has not ended: allow another beside it, skip it, or queue it.",
    ),
]
Jitter = Annotated[
    timedelta | None,
    typer.Option(
        metavar="DURATION", parser=duration, help="Start up to so much later, the same for a tick every time."
    ),
]
ExpiresAfter = Annotated[
    timedelta | None,
    typer.Option(metavar="DURATION", parser=duration, help="Drop a tick's job when not started by then."),
]
DeadlineAfter = Annotated[
    timedelta | None,
    typer.Option(metavar="DURATION", parser=duration, help="A tick's job should be done by then."),
]
Paused = Annotated[bool, typer.Option("--paused", help="Do not fire until `penstock schedule resume`.")]
Replace = Annotated[bool, typer.Option("--replace", help="Edit the schedule if there is one of this name.")]
