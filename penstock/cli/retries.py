"""``penstock retries``: what other ways of choosing delays would have cost, by what was logged."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, NamedTuple

import typer

from core.retrying.explore import CONTROL
from core.retrying.off_policy import ESS_MIN, WASTED_TRY_S, Estimate, Logged, always, estimate
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, say, show_json, show_table
from penstock.cli.queries import connected
from penstock.cli.times import duration

LOOKED_AT = 200_000
"""Newest decisions that are read: a hundred megabytes, and more than any interval needs."""
_QUERY = """
SELECT job_id::text AS job_id, arm, propensity, cost_s, error_class FROM v1_retry_decisions
WHERE decided_at > now() - %(since)s::interval AND cost_s IS NOT NULL AND propensity > 0
  AND (%(type)s::text IS NULL OR type = %(type)s)
ORDER BY decided_at DESC LIMIT %(limit)s
"""
_COLUMNS = ("arm", "logged", "cost s", "+- s", "IPS", "SNIPS", "tells as much as", "against the rule")

Since = Annotated[
    timedelta,
    typer.Option(help="Decided no longer ago than, such as 7d.", parser=duration, metavar="DURATION"),
]


class Judged(NamedTuple):
    """One arm, as if it alone had been asked."""

    arm: str
    logged: int
    found: Estimate
    verdict: str


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Judge how delays of retries are chosen.")
    group.callback()(_group)
    group.command("evaluate")(evaluate)
    app.add_typer(group, name="retries")


def _group() -> None:
    """Judge how delays of retries are chosen."""


@command
async def evaluate(
    since: Since = timedelta(days=7),
    type_: Annotated[str | None, typer.Option("--type", help="Of jobs of this type alone.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Say what each way of choosing delays would have cost if it alone had been asked.

    By logged decisions about jobs that have ended, and the chances with which they were made: the doubly
    robust estimate with its standard error, and IPS and SNIPS beside. A cost is what came after a decision:
    the time until the job's end, 300 s for every try that failed, six hours if the job died. No verdict is
    given on thin evidence. The exit code is 1 while no arm has one besides the rule.
    """
    parameters = {"since": since, "type": type_, "limit": LOOKED_AT}
    async with connected(connections(data).database) as database:
        cursor = await database.execute(_QUERY, parameters)
        rows = await cursor.fetchall()
    judged = judge(logged_of(rows))
    if as_json:
        show_json(
            {"decisions": len(rows), "wasted_try_s": WASTED_TRY_S, "arms": [members(one) for one in judged]}
        )
    else:
        if judged:
            show_table(_COLUMNS, [_cells(one) for one in judged])
        say(summary(len(rows), judged))
    if not any(one.found.refusal is None for one in judged if one.arm != CONTROL):
        raise typer.Exit(1)


def logged_of(rows: Sequence[dict[str, Any]]) -> list[Logged]:
    """Give the decisions as the estimators take them; all of one job are in one half."""
    return [
        Logged(
            row["arm"],
            row["propensity"],
            row["cost_s"],
            row["error_class"],
            half=bool(int(row["job_id"][-1], 16) % 2),
        )
        for row in rows
    ]


def judge(logged: Sequence[Logged]) -> list[Judged]:
    """Judge every arm that was asked, the rule first."""
    counts = Counter(one.arm for one in logged)
    arms = sorted(counts, key=lambda arm: (arm != CONTROL, arm))
    found = {arm: estimate(logged, always(arm)) for arm in arms}
    control = found.get(CONTROL)
    return [Judged(arm, counts[arm], found[arm], _verdict(arm, found[arm], control)) for arm in arms]


def _verdict(arm: str, found: Estimate, control: Estimate | None) -> str:
    if found.refusal is not None:
        return f"no verdict: {found.refusal}"
    if arm == CONTROL or control is None or control.refusal is not None:
        return ""
    gain_s = control.doubly_robust - found.doubly_robust
    # Both rest on the same decisions, so this interval is on the wide side.
    within_s = 1.96 * (found.error**2 + control.error**2) ** 0.5
    if abs(gain_s) <= within_s:
        return f"not told apart ({-gain_s:+.1f} s +- {within_s:.1f})"
    return f"{'cheaper' if gain_s > 0 else 'dearer'} by {abs(gain_s):.1f} s +- {within_s:.1f}"


def members(one: Judged) -> dict[str, Any]:
    """Give what programs get."""
    return {"arm": one.arm, "logged": one.logged, "verdict": one.verdict, **asdict(one.found)}


def _cells(one: Judged) -> tuple[object, ...]:
    found = one.found
    return (
        *(one.arm, one.logged, round(found.doubly_robust, 1), round(1.96 * found.error, 1)),
        *(round(found.ips, 1), round(found.snips, 1), round(found.effective), one.verdict),
    )


def summary(decisions: int, judged: Sequence[Judged]) -> str:
    """Say what there is to judge by."""
    if not decisions:
        return "No decision about a failure has a known end yet. They are logged since the tables have them."
    if all(one.arm == CONTROL for one in judged):
        return f"{decisions} decisions, all by the rule: PENSTOCK_RETRY_POLICY=learned tries others on a few."
    return f"{decisions} decisions with a known end; a verdict needs {ESS_MIN:.0f} effective ones."
