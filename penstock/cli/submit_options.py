"""The options of ``penstock submit``, named as the fields of the job contract."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.times import duration, time_ahead

Type = Annotated[
    str | None, typer.Argument(metavar="[TYPE]", help="Task that runs the job, such as email.send.")
]
Payload = Annotated[str | None, typer.Option(metavar="JSON", help="Any JSON value, or @FILE. Default {}.")]
Count = Annotated[int, typer.Option(min=1, help="Submit so many jobs alike.")]
File = Annotated[
    Path | None,
    typer.Option(help="One job a line as JSON, - for standard input; other options fill what it omits."),
]
Tenant = Annotated[str | None, typer.Option(help="Whose job it is.")]
JobId = Annotated[str | None, typer.Option(help="Your own id, a UUID.")]
IdempotencyKey = Annotated[str | None, typer.Option(help="The same key is the same job.")]
Priority = Annotated[int | None, typer.Option(help="0 (background) to 9 (critical).")]
RunAt = Annotated[
    str | None, typer.Option(help="Not before: RFC 3339, or +10s.", parser=time_ahead, metavar="TIME")
]
Deadline = Annotated[str | None, typer.Option(help="Should be done by.", parser=time_ahead, metavar="TIME")]
ExpiresAt = Annotated[
    str | None, typer.Option(help="Drop when not started by.", parser=time_ahead, metavar="TIME")
]
TimeLimit = Annotated[
    timedelta | None,
    typer.Option("--timeout", help="Limit of one attempt, such as 30s.", parser=duration, metavar="DURATION"),
]
MaxAttempts = Annotated[int | None, typer.Option(help="Failures after which it is dead.")]
Pool = Annotated[str | None, typer.Option(help="Execution pool.")]
OrderingKey = Annotated[str | None, typer.Option(help="Jobs of one key run one at a time, in order.")]
OnBusy = Annotated[str | None, typer.Option(help="When its key is busy: wait, or skip the job.")]
Sensitive = Annotated[
    list[str] | None, typer.Option(help="JSON pointer into the payload to mask; repeat for several.")
]
Label = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="For queries; repeat for several.")
]
Traceparent = Annotated[str | None, typer.Option(help="W3C trace context.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until all have ended.")]
WaitTimeout = Annotated[
    timedelta | None,
    typer.Option(help="Wait at most so long, such as 5m.", parser=duration, metavar="DURATION"),
]
