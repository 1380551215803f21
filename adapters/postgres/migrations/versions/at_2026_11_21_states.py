"""The first tables: jobs, their attempts and log lines, and how far they are."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121_states"
down_revision = None
branch_labels = None
depends_on = None

_UUID = postgresql.UUID(as_uuid=False)
_JSONB = postgresql.JSONB()
_TIME = sa.DateTime(timezone=True)
_TEXT = sa.Text()
_SMALL = sa.SmallInteger()
_INT = sa.Integer()
_BIG = sa.BigInteger()
_REAL: sa.Double[float] = sa.Double()


def _column(name: str, type_: sa.types.TypeEngine[Any], comment: str) -> sa.Column[object]:
    return sa.Column(name, type_, comment=comment)


def _needed(name: str, type_: sa.types.TypeEngine[Any], comment: str) -> sa.Column[object]:
    return sa.Column(name, type_, comment=comment, nullable=False)


_JOBS = (
    _needed("job_id", _UUID, "Id of the job: the producer's, or made from idempotency key or origin."),
    _column("tenant", _TEXT, "Who the job belongs to."),
    _column("type", _TEXT, "Which task runs the job."),
    _column("pool", _TEXT, "Execution pool."),
    _needed("state", _TEXT, "Where the job stands; the last six of the list are its ends."),
    _column("attempt", _INT, "Attempt number of the latest claim, from 1; null before the first."),
    _column("max_attempts", _INT, "Failed attempts after which the job is dead."),
    _column("priority", _SMALL, "0 (background) to 9 (critical), as submitted."),
    _column("bucket", _SMALL, "Execution bucket of the latest dispatch: 0 runs soonest."),
    _column("head_start_s", _REAL, "Score of the latest dispatch: seconds of head start in the queue."),
    _column("score_parts", _JSONB, "What the head start is made of: name to seconds."),
    _column("p_fail", _REAL, "Predicted probability that the latest dispatch fails."),
    _column("predicted_run_s", _REAL, "Predicted run time of the latest dispatch, seconds."),
    _column("model_version", _TEXT, "What made the predictions; rule: no model."),
    _column("workflow_id", _TEXT, "Workflow the job belongs to."),
    _column("ordering_key", _TEXT, "Jobs with the same key run one at a time, in order."),
    _column("labels", _JSONB, "The producer's string pairs."),
    _column("payload", _JSONB, "What the task is given; values the producer called sensitive are masked."),
    _column("payload_bytes", _INT, "Size of the payload as submitted, bytes."),
    _column("idempotency_key", _TEXT, "The producer's key: one (tenant, key) is one job."),
    _column("origin_epoch", _TEXT, "Incarnation of the topics the job was submitted to."),
    _column("origin_partition", _INT, "Partition of the job's record in the topic jobs."),
    _column("origin_offset", _BIG, "Offset of the job's record in the topic jobs."),
    _column("verdict_offset", _BIG, "Offset in jobs.events of the latest verdict about the job that holds."),
    _column("submitted_at", _TIME, "When the broker took the job's record."),
    _column("ready_at", _TIME, "When the latest dispatch had nothing to wait for any more."),
    _column("queued_at", _TIME, "When the latest dispatch was put into its bucket."),
    _column("started_at", _TIME, "When the latest dispatch started; while it runs: when it was claimed."),
    _column("finished_at", _TIME, "When the job came to its end; null while it has none."),
    _column("due_at", _TIME, "What a waiting or retrying job waits for; null when it waits for no time."),
    _column("deadline_at", _TIME, "When the job should be done, as submitted."),
    _column("expires_at", _TIME, "The job is dropped when not started by then, as submitted."),
    _column("executor_id", _TEXT, "Executor of the latest claim (its boot id)."),
    _column("error_class", _TEXT, "Class of the latest error; stays when a later attempt succeeds."),
    _column("error_message", _TEXT, "Message of the latest error; stays when a later attempt succeeds."),
    _column("result", _JSONB, "What the task returned."),
    _column("trace_id", _TEXT, "Trace id of the W3C trace context, 32 hex digits."),
    _column("updated_at", _TIME, "When the latest record about the job was appended."),
    _needed("state_rank", _INT, "How far along its path the state is; a state replaces only smaller ranks."),
    _column("error_type", _TEXT, "Type of the latest error, such as an exception's name."),
    _column("dispatch", _INT, "Dispatch number of the latest claim, from 1."),
    _column("queued_dispatch", _INT, "Dispatch number the queue columns (bucket to queued_at) belong to."),
    _column("run_s", _REAL, "Run time of the latest attempt that succeeded or failed, seconds."),
    _column("timeout_s", _REAL, "Limit of one attempt, seconds."),
    _column("run_at", _TIME, "The job does not start before, as submitted."),
    _column("waiting_on", _TEXT, "Gate a waiting job waits at: id, parents, due or order."),
    _column("last_decision", _TEXT, "Latest decision about the job and its reason."),
    _column("progress", _REAL, "How far the latest dispatch says it is, 0 to 1."),
    _column("progress_message", _TEXT, "What the latest dispatch says it is doing."),
    _column("progress_dispatch", _INT, "Dispatch number the progress belongs to."),
    _column("cancel_asked_at", _TIME, "When the latest request to cancel was appended."),
    _column("cancel_by", _TEXT, "Who asked to cancel."),
    _column("cancel_reason", _TEXT, "Why."),
    sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    sa.CheckConstraint(
        "state IN ('accepted', 'waiting', 'held', 'queued', 'running', 'retrying', "
        "'succeeded', 'dead', 'cancelled', 'expired', 'skipped', 'refused')",
        name=sa.schema.conv("ck_jobs_state"),
    ),
)

_JOB_ATTEMPTS = (
    _needed("job_id", _UUID, "The job."),
    _needed("n", _INT, "Dispatch number, from 1; rises also when no attempt is used up."),
    _column("attempt", _INT, "Attempt number, from 1; rises only after a failure."),
    _column("executor_id", _TEXT, "Executor that claimed the dispatch (its boot id)."),
    _column("claimed_at", _TIME, "When the claim was appended."),
    _column("started_at", _TIME, "When the task started; null for a dispatch that was lost or released."),
    _column("finished_at", _TIME, "When the outcome was appended; null while the dispatch runs."),
    _column(
        "outcome", _TEXT, "How it ended (lost: its executor vanished; released: handed back); null: it runs."
    ),
    _column("run_s", _REAL, "Run time, seconds; null unless it succeeded or failed."),
    _column(
        "error_class", _TEXT, "Class of the error; stays when the success of a lost dispatch comes late."
    ),
    _column("error_type", _TEXT, "Type of the error, such as an exception's name."),
    _column("error_message", _TEXT, "Message of the error, or why the dispatch was lost or released."),
    _column("decision", _TEXT, "What was decided after it: retry, hold, dead; null when nothing had to be."),
    _column("decision_reason", _TEXT, "Why."),
    _column("decided_at", _TIME, "When the decision was appended."),
    _column("decision_policy", _TEXT, "What decided: rule, or the name of a policy."),
    _column("propensity", _REAL, "Probability with which the policy chose this decision."),
    _column("due_at", _TIME, "For a retry: before this time the next dispatch does not start."),
    _column("p_fail", _REAL, "For a pre-empted dispatch: the predicted probability that it fails."),
    _column("features", _JSONB, "Features the dispatch was scored by; null when no model scored it."),
    _column("claim_offset", _BIG, "Offset of the claim in jobs.events."),
    _column("closure_offset", _BIG, "Offset of the record in jobs.events that gave the outcome."),
    _column("dlq_offset", _BIG, "Offset in jobs.dlq of the failed job with traceback and log tail."),
    sa.PrimaryKeyConstraint("job_id", "n", name="pk_job_attempts"),
    sa.CheckConstraint(
        "decision IN ('retry', 'hold', 'dead')",
        name=sa.schema.conv("ck_job_attempts_decision"),
    ),
    sa.CheckConstraint(
        "outcome IN ('succeeded', 'failed', 'lost', 'released', 'preempted')",
        name=sa.schema.conv("ck_job_attempts_outcome"),
    ),
)

_JOB_LOGS = (
    _needed("job_id", _UUID, "The job."),
    _needed("n", _INT, "Dispatch number."),
    _needed("seq", _INT, "Number of the line within the dispatch."),
    _needed("at", _TIME, "When the line was written, by the executor's estimate of the broker's time."),
    _needed("level", _TEXT, "Severity."),
    _needed("message", _TEXT, "The line."),
    sa.PrimaryKeyConstraint("job_id", "n", "seq", name="pk_job_logs"),
)

_STAGE_OFFSETS = (
    _needed("stage", _TEXT, "Who writes the rows, such as materializer."),
    _needed("epoch", _TEXT, "Incarnation of the topics."),
    _needed("partition", _INT, "Partition of jobs.events."),
    _needed("next_offset", _BIG, "Everything below this offset is in the tables, nothing from it on."),
    sa.PrimaryKeyConstraint("stage", "epoch", "partition", name="pk_stage_offsets"),
)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "jobs",
        *_JOBS,
        comment="One row a job: the merge of all that jobs.events says about it.",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_jobs_submitted_at", "jobs", ["submitted_at"])
    op.create_table(
        "job_attempts",
        *_JOB_ATTEMPTS,
        comment="One row a dispatch of a job: who ran it, how it ended, what was decided then.",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table("job_logs", *_JOB_LOGS, comment="What tasks wrote with ctx.log.")
    op.create_table(
        "stage_offsets",
        *_STAGE_OFFSETS,
        comment="How far the tables are; moved by compare-and-set in the transaction that writes the rows.",
    )


def downgrade() -> None:
    """Drop them, with all rows; the log has everything."""
    op.drop_table("stage_offsets")
    op.drop_table("job_logs")
    op.drop_table("job_attempts")
    op.drop_table("jobs")
