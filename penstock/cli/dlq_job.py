"""One dead job with all that is known of it: rows, attempts as they failed, and its dead letter."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from core.masking import mask
from core.secrets_in_text import mask_secrets
from core.summaries import clean
from penstock.cli.connect import Connections
from penstock.cli.console import say
from penstock.cli.dlq_attempts import FailedAttempts, shown_text
from penstock.cli.dlq_filter import LetterFilter
from penstock.cli.dlq_letters import DeadLetter, letters
from penstock.cli.dlq_rows import letters_meeting
from penstock.cli.queries import Database, attempts_of, one_job
from schemas.accepted_job import FailedAttempt
from schemas.codec import encode

_SHOWN = ("job_id", "state", "type", "tenant", "pool", "submitted_at", "finished_at", "workflow_id", "labels")


class DeadJobView(NamedTuple):
    """What is known of a dead job."""

    row: Mapping[str, Any]
    attempts: Sequence[Mapping[str, Any]]
    failed: Sequence[FailedAttempt | None]
    """Of each attempt its record of ``jobs.dlq``; None: there is none, or it is not kept any more."""
    letter: DeadLetter | None
    """None: it is not dead, or its letter is not kept any more."""

    def as_json(self) -> dict[str, Any]:
        """Give everything, for programs."""
        attempts = [
            {**row, **_details(failed)} for row, failed in zip(self.attempts, self.failed, strict=True)
        ]
        return {"job": self.row, "attempts": attempts, "letter": self._letter_json()}

    def _letter_json(self) -> dict[str, Any] | None:
        if self.letter is None:
            return None
        record, dead = self.letter.record, self.letter.letter
        return {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "reason": dead.reason,
            "failures": dead.failures,
            "losses": dead.losses,
            "dropped": self.letter.found.candidate.dropped,
            "redrives": self.letter.found.candidate.redrives,
            "headers": _headers(self.letter),
            "past": [msgspec.structs.asdict(past) for past in dead.last.job.past],
            "payload": self.payload,
        }

    @property
    def payload(self) -> str | None:
        """The payload as it was tried last, JSON, masked; None when only the table has one."""
        job = None if self.letter is None else self.letter.letter.last.job
        return None if job is None else mask(bytes(job.payload), job.sensitive).decode()


async def job_view(
    where: Connections, database: Database, attempts: FailedAttempts, job_id: str
) -> DeadJobView | None:
    """Look everything up; None when the table has no such job."""
    row = await one_job(database, job_id)
    if row is None:
        return None
    rows = await attempts_of(database, job_id)
    failed = [await attempts.get(job_id, one["dlq_offset"]) for one in rows]
    found = await letters_meeting(database, LetterFilter(job_ids=(job_id,)))
    async with letters(where.kafka, where.routes, found) as source:
        taken = await source.take(1)
    return DeadJobView(row, rows, failed, taken[0] if taken else None)


def say_job(view: DeadJobView) -> None:
    """Show it to a person."""
    for name in _SHOWN:
        if view.row[name] not in (None, {}):
            say(f"{name:14}{view.row[name]}")
    if view.letter is not None:
        dead = view.letter.letter
        say(f"{'given up':14}{dead.reason} ({dead.failures} failures, {dead.losses} losses)")
        if view.letter.found.candidate.dropped:
            say(f"{'dropped':14}yes; --dropped redrives it")
        for name, value in _headers(view.letter).items():
            say(f"{'header':14}{name}: {value}")
    say(f"{'payload':14}{view.payload or encode(view.row['payload']).decode()}")
    for row, failed in zip(view.attempts, view.failed, strict=True):
        _say_attempt(row, failed)


def _say_attempt(row: Mapping[str, Any], failed: FailedAttempt | None) -> None:
    error = ": ".join(clean(part) for part in (row["error_type"], row["error_message"]) if part)
    say(f"attempt {row['attempt']} (dispatch {row['n']}): {row['outcome'] or 'running'}  {error}")
    details = _details(failed)
    for line in clean(details["traceback"] or "").splitlines():
        say(f"    {line}")
    for line in details["log_tail"] or ():
        say(f"    | {clean(line)}")


def _details(failed: FailedAttempt | None) -> dict[str, Any]:
    if failed is None:
        return {"traceback": None, "log_tail": None}
    return {
        "traceback": shown_text(failed, failed.traceback),
        "log_tail": [shown_text(failed, line) for line in failed.log_tail],
    }


def _headers(letter: DeadLetter) -> dict[str, str]:
    """Give the headers that came with the job, and those of its dead letter."""
    own = {name: value.decode(errors="replace") for name, value in letter.record.headers}
    own = letter.letter.last.job.headers | own
    return {name: mask_secrets(clean(f"{name}={value}")).partition("=")[2] for name, value in own.items()}
