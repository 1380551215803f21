"""``penstock why``: why a job is where it is, and when it starts."""

from dataclasses import asdict
from typing import Any

import typer

from penstock.cli import why_model, why_rows
from penstock.cli.connect import DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json
from penstock.cli.job_argument import Job
from penstock.cli.queries import connected, one_job
from penstock.cli.why_ask import Asker
from penstock.cli.why_known import Answer, Known
from penstock.cli.why_words import explain


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("why")(why)


@command
async def why(job: Job, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Say why a job is where it is, and when it starts.

    Of a queued one: the parts of its score, what is taken before it, who serves its pool, and the expected
    start with an interval. Else: what it waits for, why a retry waits as long
    as it does, or how it ended. What cannot be looked up is said, and the rest shown.
    """
    where = connections(data)
    async with connected(where.database) as database:
        await why_rows.bound(database)
        row = await one_job(database, job)
        if row is None:
            fail(f"the table has no job {job} (yet); `penstock rejected list` shows records that are no job")
        known = await Asker(where, database, row).known()
    answer = explain(known)
    if as_json:
        show_json(members(known, answer))
        return
    for line in lines(known, answer):
        say(line)


def lines(known: Known, answer: Answer) -> list[str]:
    """Give the answer as text."""
    job = known.job
    shown = [f"{job['job_id']}  {job['type'] or '?'} of {job['tenant'] or '?'}", answer.summary]
    for part in answer.parts:
        shown += ["", part.title, *(f"  {line}" for line in part.lines)]
    if known.not_known:
        shown += ["", "could not be looked up", *(f"  {what}" for what in known.not_known)]
    return shown


def members(known: Known, answer: Answer) -> dict[str, Any]:
    """Give the answer as a JSON object: the words, and the figures of a queued job."""
    job, view = known.job, known.queue
    found: dict[str, Any] = {
        "job_id": job["job_id"],
        "state": job["state"],
        "waiting_on": job["waiting_on"],
        "summary": answer.summary,
        "why": [{"title": part.title, "lines": part.lines} for part in answer.parts],
        "not_known": known.not_known,
        "at": known.now,
    }
    if view is not None:
        start = view.start
        found |= {
            "score": {
                "head_start_s": job["head_start_s"],
                "bucket": job["bucket"],
                "parts": job["score_parts"],
                "by": None if known.scored is None else why_model.as_json(known.scored, known.reasons),
            },
            "position": view.before + 1,
            "ahead": {
                "jobs": view.before,
                "predicted_s": round(view.predicted_s, 3),
                "tied": view.tied,
                "kinds": [asdict(one) for one in view.ahead],
            },
            "served": None if view.served is None else asdict(view.served),
            "expected_start": None
            if start is None
            else {name: round(seconds, 3) for name, seconds in start._asdict().items()},
            "overtaking_load": round(view.overtaking_load, 3),
            "overtaken_until_s": {str(bucket): round(s, 3) for bucket, s in view.overtaken_until.items()},
            "limits": view.limits,
            "paused": view.paused,
        }
    return found
