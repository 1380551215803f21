"""``penstock dlq summary`` and ``show``: groups of dead jobs, and all that is known of one."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from adapters.summaries.cache import AnswerCache, default_directory
from adapters.summaries.settings import SummarySettings
from adapters.summaries.summarizer import EXTRACTIVE, Summarizer, Summary
from core.desk import Fixability, fixability
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json
from penstock.cli.dlq_attempts import FailedAttempts, failed_attempts
from penstock.cli.dlq_facts import group_facts, job_facts
from penstock.cli.dlq_filter import LetterFilter
from penstock.cli.dlq_job import DeadJobView, job_view, say_job
from penstock.cli.dlq_options import Filter, any_wanted
from penstock.cli.dlq_rows import groups_meeting, letters_meeting, named_signatures, tried_again
from penstock.cli.queries import Database, connected
from penstock.cli.times import age

LISTED = 5
"""Most types and tenants named of a group."""
JOBS_LISTED = 20

Plain = Annotated[bool, typer.Option("--plain", help="Ask no model for summaries, also when one is set up.")]
_Parts = tuple[Database, FailedAttempts, Summarizer]


@command
async def summary(
    filter_: Filter = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many groups, the largest.")] = 20,
    plain: Plain = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Group dead jobs by what they died of.

    With how many there are, since when, how likely it is that a redrive helps (from jobs with the same
    signature that were tried again), and two or three lines. Dropped ones are not shown.
    """
    about = any_wanted(filter_)
    async with _parts(connections(data), plain=plain) as parts:
        found = await groups_meeting(parts[0], about)
        groups = await _groups(parts, found[:limit])
    if as_json:
        show_json(groups)
        return
    if not groups:
        say("no dead job meets this" if filter_ else "there are no dead jobs to look at")
        return
    for group in groups:
        _say_group(group)
    if len(found) > limit:
        say(f"and {len(found) - limit} smaller groups; --limit shows more")


@command
async def show(
    what: Annotated[str, typer.Argument(metavar="JOB|SIGNATURE", help="A dead job, or a group of them.")],
    plain: Plain = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show all that is known of one dead job, or of one group.

    Of a job: its attempts with errors, tracebacks and the last lines they logged, labels, headers, and the
    payload with what its producer called sensitive masked.
    """
    where = connections(data)
    async with _parts(where, plain=plain) as parts:
        if (job_id := _job_id(what)) is not None:
            view = await job_view(where, parts[0], parts[1], job_id)
            if view is None:
                fail(f"the table has no job {job_id} (yet)")
            await _show_job(parts[2], view, as_json=as_json)
        else:
            await _show_group(parts, what, as_json=as_json)


async def _show_job(summarizer: Summarizer, view: DeadJobView, *, as_json: bool) -> None:
    made = await summarizer.of(job_facts(view.row, view.attempts, view.failed))
    if as_json:
        show_json(view.as_json() | {"summary": _summary_json(made)})
        return
    _say_summary(made)
    say_job(view)


async def _show_group(parts: _Parts, signature: str, *, as_json: bool) -> None:
    about = LetterFilter(signatures=(signature,))
    groups = await _groups(parts, await groups_meeting(parts[0], about))
    letters = [one for one in await letters_meeting(parts[0], about) if not one.candidate.dropped]
    if not groups:
        fail(f"no dead job has the signature {signature!r}; `penstock dlq summary` shows which there are")
    jobs = [
        {"job_id": one.candidate.job_id, "dead_at": one.dead_at, "redrives": one.candidate.redrives}
        for one in letters[-JOBS_LISTED:][::-1]
    ]
    if as_json:
        show_json(groups[0] | {"jobs": jobs})
        return
    _say_group(groups[0])
    for job in jobs:
        again = f"  redriven {job['redrives']} times before" if job["redrives"] else ""
        say(f"  {job['job_id']}  died {job['dead_at']:%Y-%m-%d %H:%M:%S}{again}")


async def _groups(parts: _Parts, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    database, attempts, summarizer = parts
    names = [row["signature"] for row in found]
    known, again = await named_signatures(database, names), await tried_again(database, names)
    nobody = (0, 0)
    failed = [await _example(attempts, row) for row in found]
    facts = [
        group_facts(row, known.get(row["signature"]), one) for row, one in zip(found, failed, strict=True)
    ]
    summaries = await asyncio.gather(*(summarizer.of(one) for one in facts))
    return [
        _group(
            row,
            known.get(row["signature"], {}),
            fixability(
                again.get((row["signature"], True), nobody), again.get((row["signature"], False), nobody)
            ),
            made,
        )
        for row, made in zip(found, summaries, strict=True)
    ]


async def _example(attempts: FailedAttempts, row: Mapping[str, Any]) -> Any:
    return await attempts.get(row["example"], row["example_offset"])


def _group(
    row: Mapping[str, Any], known: Mapping[str, Any], fixable: Fixability, made: Summary
) -> dict[str, Any]:
    names = ("signature", "count", "first_dead_at", "last_dead_at", "types", "tenants", "error_class")
    return {
        **{name: row[name] for name in names},
        "error_type": row["error_type"],
        "template": known.get("template") or row["message"],
        "location": known.get("location") or None,
        "example": row["example"],
        "fixable": fixable.share,
        "fixable_because": fixable.basis,
        "summary": _summary_json(made),
    }


def _summary_json(made: Summary) -> dict[str, Any]:
    return {"lines": made.lines, "by": made.by, "why": made.why or None}


def _say_group(group: Mapping[str, Any]) -> None:
    now = datetime.now(UTC)
    share = group["fixable"]
    fixable = "unknown" if share is None else f"{share:.0%}"
    count = group["count"]
    say(
        f"{group['signature']}  {count} job{'' if count == 1 else 's'}  "
        f"first {age(group['first_dead_at'], now)} ago, last {age(group['last_dead_at'], now)} ago"
    )
    say(f"  types {_listed(group['types'])}  tenants {_listed(group['tenants'])}  such as {group['example']}")
    say(f"  a redrive helps: {fixable} ({group['fixable_because']})")
    made = group["summary"]
    _say_summary(Summary(made["lines"], made["by"], made["why"] or ""))


def _say_summary(made: Summary) -> None:
    for line in made.lines:
        say(f"  {line}")
    shown = f"; {made.why}" if made.why and made.why != "no model is set up" else ""
    say("  -- from the words of the errors" + shown if made.by == EXTRACTIVE else f"  -- by model {made.by}")


def _listed(names: Sequence[str | None]) -> str:
    known = [name or "?" for name in names]
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return ", ".join(known[:LISTED]) + more


def _job_id(text: str) -> str | None:
    try:
        return str(uuid.UUID(text)) if "-" in text else None
    except ValueError:
        return None


@asynccontextmanager
async def _parts(where: Connections, *, plain: bool) -> AsyncIterator[_Parts]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(connected(where.database))
        attempts = await stack.enter_async_context(failed_attempts(where))
        settings = SummarySettings.model_construct() if plain else where.summaries
        summarizer = Summarizer(settings, AnswerCache(default_directory()))
        stack.push_async_callback(summarizer.close)
        yield database, attempts, summarizer
