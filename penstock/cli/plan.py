"""``penstock plan``: what a rate of jobs needs, from what jobs were measured to cost."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from core.planning.costs import CostsError
from core.planning.demand import Demand, DemandError
from core.planning.measured import SHIPPED
from core.planning.sizing import plan as planned
from penstock.cli.console import JsonOption, fail, out, say, show_json, table_of
from penstock.cli.plan_costs import from_file
from penstock.cli.plan_words import document, lines, table
from penstock.cli.times import duration
from schemas.topics import RouteMap

_DEFAULT = Demand(1.0, 0.0, 1.0)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


_RetentionOption = Annotated[
    timedelta,
    typer.Option(
        "--retention",
        parser=duration,
        metavar="DURATION",
        help="How long rows and ledger are kept, as in 7d.",
    ),
]
_SLOTS_HELP = "Jobs one executor runs at once: PENSTOCK_WORKERS x PENSTOCK_SLOTS."
_UTILIZATION_HELP = "Of cores and slots that may be busy on average."
_COSTS_HELP = "Costs measured on your machine: the JSON of `make bench`, best with ARGS='--only costs'."


def plan(
    rate: Annotated[float, typer.Option("--rate", metavar="JOBS/S", help="Jobs a second, sustained.")],
    run_time: Annotated[float, typer.Option(metavar="SECONDS", help="Mean time a task occupies a slot.")],
    retention: _RetentionOption,
    payload_bytes: Annotated[
        int, typer.Option(metavar="N", help="Of a job, as JSON.")
    ] = _DEFAULT.payload_bytes,
    slots: Annotated[int, typer.Option(metavar="N", help=_SLOTS_HELP)] = _DEFAULT.slots,
    utilization: Annotated[
        float, typer.Option(metavar="SHARE", help=_UTILIZATION_HELP)
    ] = _DEFAULT.utilization,
    failure_share: Annotated[
        float, typer.Option(metavar="SHARE", help="Of attempts; each is tried again.")
    ] = _DEFAULT.failure_share,
    replication: Annotated[
        int, typer.Option(metavar="N", help="Copies the brokers keep of each partition.")
    ] = _DEFAULT.replication,
    costs: Annotated[
        Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, help=_COSTS_HELP)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a rate of jobs needs: partitions, instances, executors, brokers and database.

    From costs that were measured, with the interval of the measurements and a list of what lies beyond them.
    Asks nobody and changes nothing.

    Example: penstock plan --rate 50000 --run-time 0.2 --retention 7d
    """
    try:
        demand = Demand(
            rate_per_s=rate,
            run_time_s=run_time,
            retention_s=retention.total_seconds(),
            payload_bytes=payload_bytes,
            slots=slots,
            utilization=utilization,
            failure_share=failure_share,
            replication=replication,
            topics=topics_per_partition(),
        )
        found = planned(demand, SHIPPED if costs is None else from_file(costs))
    except DemandError as error:
        fail(f"--{error}", code=2)
    except CostsError as error:
        fail(str(error), code=2)
    if as_json:
        show_json(document(found))
        return
    out().print(table_of(("", "low", "typical", "high", "how"), table(found)))
    for line in lines(found):
        say(line)


def topics_per_partition() -> int:
    """Give how many topics have a partition for each partition of the pipeline."""
    few, more = RouteMap(partitions=64), RouteMap(partitions=65)
    return sum(one.partitions for one in more.specs()) - sum(one.partitions for one in few.specs())
