"""What the verification looks at: facts gathered from log, table and effects, before any judgement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from penstock.demo.effects import Effects
from penstock.demo.plan import Ending


class LoggedJob(NamedTuple):
    """A job of this run that stands in the input topic."""

    job_id: str
    number: int
    type: str
    ending: Ending
    """How its own work makes it end."""
    keyed: bool
    records: int
    """Records in the log that name this job; more than one for a repeated key."""


class JobRow(NamedTuple):
    """What the state table says of a job; times in milliseconds since 1970."""

    job_id: str
    number: int | None
    type: str
    state: str
    succeeded_dispatch: int | None
    """The dispatch whose attempt the table calls succeeded."""
    error_class: str | None
    error_message: str | None
    submitted_ms: int | None
    ready_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    attempt: int | None


class Position(NamedTuple):
    """A record's place in the input topic."""

    partition: int
    offset: int


@dataclass(frozen=True)
class Evidence:
    """All facts of one run.

    Attributes
    ----------
    jobs
        By job id.
    malformed
        Where the malformed records of this run stand.
    acknowledged
        Submissions the broker acknowledged, and where.
    found
        Submissions found in the input topic by reading it, and where.
    unsent
        Submissions that are in no log although they were to be sent.
    rejected
        Reason by place in the input topic, for every rejection made during the run.
    rows
        The table's rows of this run, by job id.
    table_differences
        Where the whole table and a fresh fold of the whole ledger differ, in words; None when they
        could not be compared, with the reason in ``table_problem``.
    """

    jobs: Mapping[str, LoggedJob]
    malformed: frozenset[Position]
    acknowledged: Mapping[int, Position]
    found: Mapping[int, frozenset[Position]]
    unsent: Sequence[int]
    rejected: Mapping[Position, str]
    rows: Mapping[str, JobRow]
    effects: Effects
    table_differences: Sequence[str] | None
    table_problem: str = ""
