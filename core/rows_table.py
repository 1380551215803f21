"""Rows gathered from folded events: a batch on its way to a database, or a whole table in memory."""

from collections.abc import Iterable
from typing import NamedTuple

from core.rows import ATTEMPT_GROUPS, Folded, Row, merge
from core.rows_patch import patches

AttemptKey = tuple[str, int]
"""job_id and dispatch number."""
LogKey = tuple[str, int, int]
"""job_id, dispatch number and line number."""


class Table(NamedTuple):
    """Rows by their keys. The keys are not repeated inside the rows."""

    jobs: dict[str, Row]
    attempts: dict[AttemptKey, Row]
    logs: dict[LogKey, Row]
    scores: dict[AttemptKey, Row]
    choices: dict[AttemptKey, Row]
    """How what followed failed dispatches was chosen."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said that shows in a row."""
        return not (self.jobs or self.attempts or self.logs or self.scores or self.choices)


def empty_table() -> Table:
    """Give a table without rows."""
    return Table({}, {}, {}, {}, {})


def gather(table: Table, events: Iterable[Folded]) -> None:
    """Merge what the events say into ``table``, in the order given.

    Events of one ledger partition must come in offset order, each once; partitions may be
    interleaved at will, since all that is said about a job stands on one of them.
    """
    for folded in events:
        said = patches(folded)
        if said is None:
            continue
        job_id = folded.event.job_id
        if said.job is not None:
            _gather(table.jobs, job_id, said.job)
        if said.attempt is not None:
            key = (job_id, said.n)
            held = table.attempts.get(key)
            if held is None:
                table.attempts[key] = said.attempt
            else:
                merge(held, said.attempt, ATTEMPT_GROUPS)
        if said.score is not None:
            table.scores.setdefault((job_id, said.n), said.score)
        if said.choice is not None:
            table.choices.setdefault((job_id, said.n), said.choice)
        for seq, line in said.lines:
            table.logs.setdefault((job_id, said.n, seq), line)


def _gather(jobs: dict[str, Row], job_id: str, patch: Row) -> None:
    held = jobs.get(job_id)
    if held is None:
        jobs[job_id] = patch
    else:
        merge(held, patch)
