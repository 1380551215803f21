"""What the client hands out: references to submitted jobs, rows of the state table, log lines, reports."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from typing_extensions import override

from penstock.identity import Origin, job_id_from_origin

TERMINAL_STATES = frozenset({"succeeded", "dead", "cancelled", "expired", "skipped", "refused"})
"""States a job never leaves by itself; the same as in the pipeline's law (a test compares them)."""


@dataclass(frozen=True, slots=True)
class SubmittedRef:
    """An acknowledged job: its id and where its record stands in the topic ``jobs``.

    The acknowledgement says that the record is durable, not that it is a valid job.
    """

    job_id: str
    origin: Origin
    timestamp_ms: int
    """Broker's append time, milliseconds since 1970."""

    @property
    def is_named_by_origin(self) -> bool:
        """Whether the id was made from this very record, so that no other record is the same job."""
        return self.job_id == job_id_from_origin(self.origin, self.timestamp_ms)

    @override
    def __str__(self) -> str:
        return self.job_id


@dataclass(frozen=True, slots=True)
class JobRow:
    """One row of the state table: what is known of a job, some milliseconds behind the log.

    Columns that this version does not know stand in ``other``.
    """

    job_id: str
    state: str
    tenant: str | None = None
    type: str | None = None
    pool: str | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    priority: int | None = None
    bucket: int | None = None
    head_start_s: float | None = None
    score_parts: Mapping[str, float] | None = None
    p_fail: float | None = None
    predicted_run_s: float | None = None
    model_version: str | None = None
    workflow_id: str | None = None
    ordering_key: str | None = None
    payload: Any = None
    """Masked at the pointers the producer called ``sensitive``."""
    payload_bytes: int | None = None
    labels: Mapping[str, str] | None = None
    idempotency_key: str | None = None
    origin_epoch: str | None = None
    origin_partition: int | None = None
    origin_offset: int | None = None
    verdict_offset: int | None = None
    submitted_at: datetime | None = None
    ready_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    deadline_at: datetime | None = None
    expires_at: datetime | None = None
    executor_id: str | None = None
    error_class: str | None = None
    error_message: str | None = None
    result: Any = None
    trace_id: str | None = None
    updated_at: datetime | None = None
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL_STATES

    @property
    def origin(self) -> Origin | None:
        """Where the job's record stands in ``jobs``; None while the table does not know."""
        if self.origin_epoch is None or self.origin_partition is None or self.origin_offset is None:
            return None
        return Origin(self.origin_epoch, self.origin_partition, self.origin_offset)

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Self:
        """Make a row of the columns of one record of the table ``jobs``."""
        known = {name: value for name, value in columns.items() if name in _COLUMNS}
        other = {name: value for name, value in columns.items() if name not in _COLUMNS}
        known["job_id"] = str(columns["job_id"])
        return cls(**known, other=other)


_COLUMNS = frozenset(column.name for column in fields(JobRow)) - {"other"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a task wrote with ``ctx.log``."""

    n: int
    """Dispatch that wrote it, from 1."""
    seq: int
    at: datetime
    level: str
    message: str


@dataclass(slots=True)
class CancelReport:
    """What a bulk cancel has asked for so far."""

    job_ids: list[str] = field(default_factory=list)
    """Every job asked to end, acknowledged by Kafka."""
    by_state: Counter[str] = field(default_factory=Counter)
    """How many of them stood where when they were read."""

    @property
    def asked(self) -> int:
        """How many were asked."""
        return len(self.job_ids)
