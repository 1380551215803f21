"""``penstock dlq redrive`` and ``drop``: what changes what becomes of dead jobs."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from core.desk import REDRIVES_MAX, Chosen, Rules, choose
from core.merge_patch import named_by
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json
from penstock.cli.dlq_desk import Desk, at_the_desk
from penstock.cli.dlq_filter import LetterFilter
from penstock.cli.dlq_letters import letters
from penstock.cli.dlq_options import Filter, Jobs, Yes, as_written, confirm, counted, jobs_text, wanted
from penstock.cli.dlq_redrive import Plan, Redrive
from penstock.cli.dlq_rows import FoundLetter, letters_meeting
from penstock.cli.dlq_try import tried_edit
from penstock.cli.holds import rate_per_s
from schemas.desk import ActKind, Letter, Outcome
from schemas.edited_letter import CannotEditError, checked_patch

Rate = Annotated[
    str, typer.Option(metavar="RATE", help="At most so many jobs: 50/s, 10/m; off: as fast as possible.")
]
Edit = Annotated[
    str | None,
    typer.Option(
        metavar="PATCH",
        help="Change payloads by this JSON merge patch (RFC 7396): null removes a member. @FILE reads it.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for whoever looks later.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count them, try the edit on them, and redrive nothing.")
]
Again = Annotated[
    bool, typer.Option("--again", help=f"Also jobs that were redriven {REDRIVES_MAX} times already.")
]
Dropped = Annotated[
    bool, typer.Option("--dropped", help="Also jobs that were dropped; they must be named by JOB.")
]
StopAbove = Annotated[
    float, typer.Option(min=0, max=1, help="Stop when more than this share of ends is the same failure.")
]
StopAfter = Annotated[int, typer.Option(min=1, help="Ends before that share counts.")]
Blind = Annotated[
    bool, typer.Option("--blind", help="Look at no ends: redrive all at the rate, whatever comes of it.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until all that was redriven shows how it ends.")]
RATE = "20/s"
"""Default pace: a dependency that has just come back is not met with all that died while it was away."""
EDIT_MAX_CHARS = 500
"""Of what is told of an edit in the table of acts."""


@command
async def redrive(
    jobs: Jobs = None,
    filter_: Filter = None,
    rate: Rate = RATE,
    edit: Edit = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    again: Again = False,
    dropped: Dropped = False,
    stop_above: StopAbove = Rules().stop_above,
    stop_after: StopAfter = Rules().min_ended,
    blind: Blind = False,
    wait: Wait = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Try dead jobs again, as new attempts of the same jobs.

    A few go first; every one that succeeds lets two more go, and it stops itself when the failure returns:
    when attempts fail as before. Ctrl-C stops it, and the same command goes on where it was. `penstock dlq
    pause` pauses it. Exit code 1 when it stopped itself, or with --wait when an attempt failed.
    """
    about = wanted(jobs, filter_)
    if dropped and not jobs:
        fail("--dropped takes jobs named by JOB: what was settled is not opened by a filter", code=2)
    patch = _patch(edit)
    per_s = 0.0 if rate == "off" else rate_per_s(rate)
    async with at_the_desk(connections(data)) as desk:
        chosen, by_id = await _choose(desk, about, again=again, dropped=dropped)
        taken = [by_id[one.job_id] for one in chosen.taken]
        if dry_run or not taken:
            tried = await tried_edit(desk, taken, patch) if patch is not None and taken else None
            _show_found(chosen, taken, tried, as_json=as_json)
            return
        confirm(
            f"Redrive {counted(taken)}, at most {rate}?",
            f"redrive {counted(taken)}, at most {rate}",
            yes=yes,
            as_json=as_json,
        )
        act = await desk.begin(
            ActKind.REDRIVE,
            filter_=as_written(jobs, filter_),
            reason=reason,
            found=len(taken),
            rate_per_s=per_s or None,
            edit=_edit_text(patch),
        )
        rules = None if blind else Rules(stop_above=stop_above, min_ended=stop_after)
        plan = Plan(act, rules, per_s, patch, wait=wait)
        await _run(desk, taken, plan, as_json=as_json)


async def _choose(
    desk: Desk, about: LetterFilter, *, again: bool, dropped: bool
) -> tuple[Chosen, dict[str, FoundLetter]]:
    if not await desk.shown():
        _note("the tables lag behind the desk: what was dropped a moment ago may still be found")
    found = await letters_meeting(desk.database, about)
    redrives_max = None if again else REDRIVES_MAX
    chosen = choose((one.candidate for one in found), redrives_max=redrives_max, with_dropped=dropped)
    return chosen, {one.candidate.job_id: one for one in found}


async def _run(desk: Desk, taken: list[FoundLetter], plan: Plan, *, as_json: bool) -> None:
    async with letters(desk.kafka, desk.routes, taken) as source:
        work = Redrive(desk, source, plan, _note)
        try:
            outcome = await work.run()
        except asyncio.CancelledError:
            left = len(source.missing)
            await desk.end(plan.act, Outcome.INTERRUPTED, f"{work.watch.sent} redriven, {left} left")
            _note(f"redrove {work.watch.sent}; {left} are left as they were: the same command goes on there")
            raise
        except Exception as error:
            words = f"{type(error).__name__} after {work.watch.sent}"
            await desk.end(plan.act, Outcome.FAILED, words)
            raise
        report = work.report()
        words = _words(report)
        await desk.end(plan.act, outcome, words)
    if as_json:
        show_json(report | {"outcome": str(outcome)})
    else:
        say(f"{'stopped by itself' if outcome is Outcome.STOPPED else 'done'}: {words}")
        for reason in work.report()["not_editable_because"]:
            say(f"not edited: {reason}")
    failed = bool(report["returned"] or report["otherwise"])
    if outcome is Outcome.STOPPED or (plan.wait and failed):
        raise typer.Exit(1)


def _words(report: dict[str, Any]) -> str:
    said = [f"{report['redriven']} redriven"]
    said += [
        f"{report[name]} {text}"
        for name, text in (
            ("succeeded", "succeeded so far"),
            ("returned", "failed as before"),
            ("otherwise", "ended otherwise"),
            ("without_letter", "not redriven"),
            ("of_another_epoch", "of an earlier epoch: submit them anew"),
            ("not_editable", "not editable like this"),
        )
        if report[name]
    ]
    return ", ".join(said)


@command
async def drop(
    jobs: Jobs = None,
    filter_: Filter = None,
    reason: Annotated[str, typer.Option(help="Why they are settled; must be said.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and settle nothing.")] = False,
    yes: Yes = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Settle dead jobs: nobody needs to look at them any more.

    They leave the summary and are redriven only by their ids with --dropped. Nothing is deleted: rows,
    letters and logs stay.
    """
    about = wanted(jobs, filter_)
    if not reason.strip() and not dry_run:
        fail("say why with --reason: whoever looks later cannot ask the jobs", code=2)
    async with at_the_desk(connections(data)) as desk:
        chosen, by_id = await _choose(desk, about, again=True, dropped=False)
        taken = [by_id[one.job_id] for one in chosen.taken]
        if dry_run or not taken:
            if as_json:
                show_json({"found": len(taken), "dropped": 0})
            else:
                say(f"would drop {counted(taken)}" if taken else "no dead job meets this")
            return
        confirm(f"Drop {counted(taken)}?", f"drop {counted(taken)}", yes=yes, as_json=as_json)
        act = await desk.begin(
            ActKind.DROP, filter_=as_written(jobs, filter_), reason=reason, found=len(taken)
        )
        await desk.treat(act, ActKind.DROP, [Letter(one.job_id, one.n) for one in chosen.taken])
        await desk.end(act, Outcome.DONE, f"{len(taken)} dropped")
        shown = await desk.shown()
    if as_json:
        show_json({"act": act, "found": len(taken), "dropped": len(taken), "shown": shown})
    else:
        say(f"dropped {jobs_text(len(taken))}" + ("" if shown else "; the tables will show it"))


def _show_found(
    chosen: Chosen, taken: list[FoundLetter], tried: dict[str, Any] | None, *, as_json: bool
) -> None:
    left = {"dropped_before": len(chosen.dropped), "redriven_too_often": len(chosen.looping)}
    if as_json:
        show_json({"found": len(taken), "redriven": 0, **left, "edit": tried})
        return
    say(f"would redrive {counted(taken)}" if taken else "no dead job to redrive meets this")
    if chosen.dropped:
        say(f"left out: {len(chosen.dropped)} that were dropped; name them by JOB, with --dropped")
    if chosen.looping:
        say(f"left out: {len(chosen.looping)} that were redriven {REDRIVES_MAX} times already; add --again")
    if tried is not None:
        say(f"the edit fits {tried['fits']} of them; {tried['refused']} cannot be edited like this")
        for name in ("before", "after", "because"):
            if tried[name]:
                say(f"{name:8}{tried[name]}")


def _patch(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return checked_patch(raw)
    except (OSError, CannotEditError) as error:
        fail(f"--edit: {error}", code=2)


def _edit_text(patch: bytes | None) -> str:
    if patch is None:
        return ""
    sets, removes = named_by(patch)
    said = [f"sets {', '.join(at or 'all of it' for at in sets)}"] if sets else []
    said += [f"removes {', '.join(removes)}"] if removes else []
    return "; ".join(said)[:EDIT_MAX_CHARS] or "changes nothing"


def _note(text: str) -> None:
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(text, markup=False)
