"""Versioned views: what analysts may rely on. A column never changes or goes; that takes a ``v2_``."""

from typing import LiteralString, NamedTuple

import sqlalchemy as sa

from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.desk import V1_DESK_ACTS
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.models import V1_MODELS, model_acts
from adapters.postgres.tables.query_view import QueryView, query_statements, quoted
from adapters.postgres.tables.retry_decisions import V1_RETRY_DECISIONS
from adapters.postgres.tables.schedules import schedules
from adapters.postgres.tables.scores import V1_PREEMPTIONS, job_scores
from adapters.postgres.tables.signatures import signatures
from adapters.postgres.tables.workflows import V1_WORKFLOWS

ANALYST = "penstock_analyst"
"""Role without login that may read the views; a person grants it to logins."""


class Derived(NamedTuple):
    """A column of a view that follows from others of its row."""

    name: str
    sql: LiteralString
    comment: str


class View(NamedTuple):
    """A view that shows columns of one table as they are, and what follows from them."""

    name: str
    table: sa.Table
    columns: tuple[str | Derived, ...]
    """New ones come at the end: Postgres extends a view only there."""
    comment: str


DEADLINE_MET = Derived(
    "deadline_met",
    """
    CASE
        WHEN deadline_at IS NULL OR state = 'cancelled' THEN NULL
        WHEN state = 'succeeded' THEN finished_at <= deadline_at
        WHEN finished_at IS NOT NULL OR now() > deadline_at THEN false
    END
    """,
    "Whether the job succeeded by its deadline: false when it was late, ended otherwise, or is late by now "
    "(by the clock of Postgres); null without a deadline, of a cancelled job, and while it can still be met.",
)


V1_JOBS = View(
    "v1_jobs",
    jobs,
    (
        *("job_id", "tenant", "type", "pool", "state", "attempt", "max_attempts", "priority", "bucket"),
        *("head_start_s", "score_parts", "p_fail", "predicted_run_s", "model_version", "workflow_id"),
        *("ordering_key", "labels", "payload", "payload_bytes", "idempotency_key", "origin_epoch"),
        *("origin_partition", "origin_offset", "verdict_offset", "submitted_at", "ready_at", "queued_at"),
        *("started_at", "finished_at", "due_at", "deadline_at", "expires_at", "executor_id"),
        *("error_class", "error_message", "result", "trace_id", "updated_at", "error_type", "dispatch"),
        *("run_s", "timeout_s", "run_at", "waiting_on", "last_decision", "progress", "progress_message"),
        *("cancel_asked_at", "cancel_by", "cancel_reason"),
        DEADLINE_MET,
        *("depends_on", "job_group", "on_parent_failure", "signature"),
    ),
    "One row a job. Stable: columns are only ever added, at the end.",
)
V1_ATTEMPTS = View(
    "v1_attempts",
    job_attempts,
    (
        *("job_id", "n", "attempt", "executor_id", "claimed_at", "started_at", "finished_at", "outcome"),
        *("run_s", "error_class", "error_type", "error_message", "decision", "decision_reason"),
        *("decided_at", "decision_policy", "propensity", "due_at", "p_fail", "features", "signature"),
    ),
    "One row a dispatch of a job. Stable: columns are only ever added, at the end.",
)
V1_SCORES = View(
    "v1_scores",
    job_scores,
    (
        *("job_id", "n", "decided_at", "model", "candidate", "log_run", "failed"),
        *("shadow", "shadow_log_run", "shadow_failed", "features", "vector", "point", "way"),
    ),
    "One row a dispatch whose features were logged. Stable: columns are only ever added, at the end.",
)
V1_SCHEDULES = View(
    "v1_schedules",
    schedules,
    (
        *("name", "version", "state", "ticks", "zone", "tenant", "type", "pool", "catch_up", "overlap"),
        *("definition", "last_tick", "next_tick", "fired", "settled_until", "changed_at", "changed_by"),
    ),
    "One row a recurring schedule. Stable: columns are only ever added, at the end.",
)
V1_MODEL_ACTS = View(
    "v1_model_acts",
    model_acts,
    ("log_offset", "said_at", "champion", "previous", "shadow", "enabled", "said_by", "reason", "purpose"),
    "One row each time somebody said which models of a purpose are in force. Stable: columns are only ever "
    "added, at the end.",
)
V1_SIGNATURES = View(
    "v1_signatures",
    signatures,
    (
        *("signature", "error_class", "error_type", "template", "location", "task_type", "first_seen"),
        *("log_offset", "learned_offset"),
    ),
    "One row a kind of failure. Stable: columns are only ever added, at the end.",
)
VIEWS: tuple[View | QueryView, ...] = (
    *(V1_JOBS, V1_ATTEMPTS, V1_WORKFLOWS, V1_SCHEDULES, V1_SCORES),
    *(V1_MODELS, V1_MODEL_ACTS, V1_PREEMPTIONS, V1_SIGNATURES, V1_DESK_ACTS),
    V1_RETRY_DECISIONS,
)


def statements(view: View | QueryView) -> list[str]:
    """Give the statements that create or extend a view, idempotently, with a comment on every column."""
    if isinstance(view, QueryView):
        return query_statements(view)
    columns = ", ".join(_selected(column) for column in view.columns)
    create = f"CREATE OR REPLACE VIEW {view.name} AS SELECT {columns} FROM {view.table.name}"  # noqa: S608 - names of our own
    comments = [
        f'COMMENT ON COLUMN {view.name}."{name}" IS {quoted(comment)}'
        for name, comment in (_described(view, column) for column in view.columns)
    ]
    return [create, f"COMMENT ON VIEW {view.name} IS {quoted(view.comment)}", *comments]


def _selected(column: str | Derived) -> str:
    return f'"{column}"' if isinstance(column, str) else f'{column.sql} AS "{column.name}"'


def _described(view: View, column: str | Derived) -> tuple[str, str | None]:
    if isinstance(column, Derived):
        return column.name, column.comment
    return column, view.table.columns[column].comment


def grant_statement() -> str:
    """Give the statement that makes the analyst role and lets it read the views.

    Without the permission to do so it leaves a notice, and an administrator does it.
    """
    names = ", ".join(view.name for view in VIEWS)
    return f"""
        DO $$
        BEGIN
            BEGIN
                CREATE ROLE {ANALYST} NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
            GRANT SELECT ON {names} TO {ANALYST};
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
            RAISE NOTICE 'no permission to create or serve role {ANALYST}: an administrator may do it';
        END
        $$
    """
