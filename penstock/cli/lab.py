"""``penstock lab``: try policies out where nothing can break."""

from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.embedded.home import write_atomically
from adapters.learned.retry_lab import learner
from core.retrying.lab import Comparison, compared
from core.retrying.scenarios import SCENARIOS
from core.retrying.simulation import LAB_COSTS
from penstock.cli.console import JsonOption, command, fail, out, say, show_json, table_of
from penstock.cli.lab_report import as_html

JOBS = 2_000
"""Of a world: enough that some fifty fail, and a scenario takes some ten seconds."""
_COLUMNS = ("policy", "cost", "recovered", "tries", "wasted", "p50 s", "p90 s", "")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Try policies out where nothing can break.")
    group.callback()(_group)
    group.command("retry")(retry)
    app.add_typer(group, name="lab")


def _group() -> None:
    """Try policies out where nothing can break."""


@command
async def retry(
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", metavar="NAME", help="Of these alone; may be repeated. Default: all."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Equal seeds make equal worlds.")] = 1,
    jobs: Annotated[int, typer.Option("--jobs", min=100, help="Jobs of a world; a few in 100 fail.")] = JOBS,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write an HTML page with plots.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare retry policies where a made-up dependency fails.

    Each scenario says what goes wrong. Backoff is tuned, and what learns is trained, in worlds of other seeds
    than the one all are judged in. Costs are seconds of delay a failing job: beyond the moment from which a
    try would have worked, 60 for a wasted try, 21,600 for a job given up that would have recovered. Needs no
    Kafka and no Postgres.
    """
    names = scenario or list(SCENARIOS)
    for name in names:
        if name not in SCENARIOS:
            fail(f"--scenario {name}: there is no such scenario; there are {', '.join(SCENARIOS)}", code=2)
    if report is not None and not report.absolute().parent.is_dir():
        fail(f"--report {report}: there is no directory {report.absolute().parent}", code=2)
    found: list[Comparison] = []
    for place, name in enumerate(names, 1):
        typer.echo(f"{place} of {len(names)}: {name}", err=True)
        found.append(compared(name, seed, jobs, learner(LAB_COSTS)))
        if not as_json:
            _show(found[-1])
    if report is not None:
        write_atomically(report, as_html(found).encode())
    if as_json:
        show_json({"seed": seed, "jobs": jobs, "scenarios": [_document(one) for one in found]})
    elif report is not None:
        say(f"written to {report}")


def _show(found: Comparison) -> None:
    rows = [
        (
            name,
            round(one.score.cost),
            round(one.score.recovered, 3),
            round(one.score.tries, 2),
            round(one.score.wasted, 2),
            _whole(one.score.recover_p50_s),
            _whole(one.score.recover_p90_s),
            one.is_what,
        )
        for name, one in found.by_arm.items()
    ]
    out().print(table_of(_COLUMNS, rows, title=f"{found.scenario}: {found.words}, {found.jobs} failing jobs"))
    say(f"learned costs {found.learned_of_tuned:.2f} of the tuned backoff\n")


def _whole(value: float) -> int | None:
    return None if isnan(value) else round(value)


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "scenario": found.scenario,
        "words": found.words,
        "failing_jobs": found.jobs,
        "learned_of_tuned": found.learned_of_tuned,
        "policies": {name: one.score._asdict() | {"is": one.is_what} for name, one in found.by_arm.items()},
    }
