"""Versioned views: what analysts may rely on. A column never changes or goes; that takes a ``v2_``."""

from typing import NamedTuple

import sqlalchemy as sa

from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.jobs import jobs

ANALYST = "penstock_analyst"
"""Role without login that may read the views; a person grants it to logins."""


class View(NamedTuple):
    """A view that shows columns of one table as they are."""

    name: str
    table: sa.Table
    columns: tuple[str, ...]
    comment: str


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
    ),
    "One row a job. Stable: columns are only ever added, at the end.",
)
V1_ATTEMPTS = View(
    "v1_attempts",
    job_attempts,
    (
        *("job_id", "n", "attempt", "executor_id", "claimed_at", "started_at", "finished_at", "outcome"),
        *("run_s", "error_class", "error_type", "error_message", "decision", "decision_reason"),
        *("decided_at", "decision_policy", "propensity", "due_at", "p_fail", "features"),
    ),
    "One row a dispatch of a job. Stable: columns are only ever added, at the end.",
)
VIEWS = (V1_JOBS, V1_ATTEMPTS)


def statements(view: View) -> list[str]:
    """Give the statements that create or extend a view, idempotently, with a comment on every column."""
    columns = ", ".join(f'"{name}"' for name in view.columns)
    create = f"CREATE OR REPLACE VIEW {view.name} AS SELECT {columns} FROM {view.table.name}"  # noqa: S608 - names of our own
    comments = [
        f'COMMENT ON COLUMN {view.name}."{name}" IS {_quoted(view.table.columns[name].comment)}'
        for name in view.columns
    ]
    return [create, f"COMMENT ON VIEW {view.name} IS {_quoted(view.comment)}", *comments]


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


def _quoted(text: str | None) -> str:
    assert text is not None
    return "'" + text.replace("'", "''") + "'"
