"""``penstock models preempt``: whether diverting what is expected to fail would pay on this pipeline."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from core.learning.preempt_evidence import Evidence, Ran, evidence_of
from core.learning.preemption import GOOD_JOB_S
from core.states import TERMINAL
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, say, show_json, show_table
from penstock.cli.queries import connected
from penstock.cli.times import duration

COLUMNS = ("way", "arm", "outcome", "job", "dispatches", "run_s")
_UNBIASED = ("watched", "sampled")
"""Ways of those that ran and would have been diverted else, all of them or drawn by a hash."""
_QUERY = """
SELECT way, arm, outcome,
       CASE WHEN state = 'succeeded' THEN 'succeeded' WHEN state = ANY(%(ends)s) THEN 'ended' END AS job,
       count(*) AS dispatches, coalesce(sum(run_s), 0) AS run_s
FROM v1_preemptions
WHERE decided_at > now() - %(since)s::interval AND (%(model)s::text IS NULL OR model = %(model)s)
GROUP BY way, arm, outcome, job ORDER BY way, arm, outcome, job
"""
_ENDS = sorted(state.value for state in TERMINAL)

Since = Annotated[
    timedelta,
    typer.Option(help="Decided no longer ago than, such as 7d.", parser=duration, metavar="DURATION"),
]


@command
async def preempt(
    since: Since = timedelta(days=7),
    model: Annotated[str | None, typer.Option(help="Of this model alone: its whole id.")] = None,
    good_job_s: Annotated[
        float,
        typer.Option(
            "--good-job-s",
            envvar="PENSTOCK_PREEMPT_GOOD_JOB_S",
            min=0.0,
            help="Price of stopping a job that would not have failed, seconds of run time.",
        ),
    ] = GOOD_JOB_S,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Say whether diverting jobs that are expected to fail would pay, by what became of such that ran.

    Counts dispatches above their model's point that ran because nothing is diverted, or because they were
    drawn to. The exit code is 1 while there is too little evidence.
    """
    async with connected(connections(data).database) as database:
        cursor = await database.execute(_QUERY, {"since": since, "model": model, "ends": _ENDS})
        rows = await cursor.fetchall()
    ran = ran_of(rows)
    found = evidence_of(ran, good_job_s)
    if as_json:
        show_json(as_members(ran, found, good_job_s) | {"ways": rows})
    else:
        if rows:
            show_table(COLUMNS, [tuple(row[name] for name in COLUMNS) for row in rows])
        say(summary(ran, found))
        say(found.words)
    if not found.is_enough:
        raise typer.Exit(1)


def ran_of(rows: list[dict[str, Any]]) -> Ran:
    """Add up what became of those that ran for no reason of their own, and of their jobs."""
    succeeded = recovered = failed = 0
    run_s = 0.0
    for row in rows:
        match row["way"] in _UNBIASED, row["outcome"], row["job"]:
            case True, "succeeded", _:
                succeeded += row["dispatches"]
            case True, "failed", "succeeded":
                recovered += row["dispatches"]
            case True, "failed", "ended":
                failed += row["dispatches"]
                run_s += row["run_s"]
            case _:
                pass
    return Ran(succeeded, recovered, failed, run_s)


def as_members(ran: Ran, found: Evidence, good_job_s: float) -> dict[str, Any]:
    """Give what programs get."""
    return {**ran._asdict(), **found._asdict(), "good_job_s": good_job_s}


def summary(ran: Ran, found: Evidence) -> str:
    """Say how often the predictions were right."""
    if found.precision is None:
        return "No dispatch above a model's point has run to its end."
    return (
        f"{ran.ends - ran.succeeded} of {ran.ends} dispatches above the point that ran have failed: "
        f"{found.precision:.1%} [{found.precision_low:.1%}, {found.precision_high:.1%}]; "
        f"retries saved the jobs of {ran.recovered} of them"
    )
