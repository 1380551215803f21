"""What summaries are made of, from rows and failed attempts. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.summaries import Facts
from penstock.cli.dlq_attempts import shown_text
from schemas.accepted_job import FailedAttempt


def group_facts(
    row: Mapping[str, Any], known: Mapping[str, Any] | None, example: FailedAttempt | None
) -> Facts:
    """Give the facts of a group: no numbers, and of its jobs the oldest, so that they stay while it grows."""
    named = known or {}
    return _with_attempt(
        Facts(
            "group",
            tuple(sorted(one or "?" for one in row["types"])),
            row["error_class"] or "",
            row["error_type"] or "",
            named.get("template") or row["message"] or "",
            named.get("location") or "",
        ),
        example,
    )


def job_facts(
    row: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]], failed: Sequence[FailedAttempt | None]
) -> Facts:
    """Give the facts of a job; ``failed`` are its attempts as far as they are kept."""
    errors = [one["error_type"] or one["error_class"] for one in attempts]
    facts = Facts(
        "job",
        (row["type"] or "?",),
        row["error_class"] or "",
        row["error_type"] or "",
        row["error_message"] or "",
        errors=tuple(error for error in errors if error),
    )
    kept = [one for one in failed if one is not None]
    return _with_attempt(facts, kept[-1] if kept else None)


def _with_attempt(facts: Facts, attempt: FailedAttempt | None) -> Facts:
    if attempt is None:
        return facts
    return facts._replace(
        message=shown_text(attempt, facts.message),
        traceback=shown_text(attempt, attempt.traceback),
        log_tail=tuple(shown_text(attempt, line) for line in attempt.log_tail),
    )
