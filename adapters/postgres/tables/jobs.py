"""One row a job: its state, what it was asked to do, and what came of it."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    BIG,
    INT,
    JSONB,
    METADATA,
    REAL,
    SMALL,
    TEXT,
    TIME,
    UUID,
    column,
    key,
    needed,
    one_of,
)
from core.states import State

FILLFACTOR = 50
"""Percent of a page filled by inserts. A row is updated a few times soon after; with room on its page
9 of 10 updates touch no index, and the table ends up smaller than a tightly filled one (measured:
14 MB against 18 MB at 70 % and 25 MB at 100 % for the same 10,000 jobs)."""

jobs = sa.Table(
    "jobs",
    METADATA,
    key("job_id", UUID, "Id of the job: the producer's, or made from idempotency key or origin."),
    column("tenant", TEXT, "Who the job belongs to."),
    column("type", TEXT, "Which task runs the job."),
    column("pool", TEXT, "Execution pool."),
    needed("state", TEXT, "Where the job stands; the last six of the list are its ends."),
    column("attempt", INT, "Attempt number of the latest claim, from 1; null before the first."),
    column("max_attempts", INT, "Failed attempts after which the job is dead."),
    column("priority", SMALL, "0 (background) to 9 (critical), as submitted."),
    column("bucket", SMALL, "Execution bucket of the latest dispatch: 0 runs soonest."),
    column("head_start_s", REAL, "Score of the latest dispatch: seconds of head start in the queue."),
    column("score_parts", JSONB, "What the head start is made of: name to seconds."),
    column("p_fail", REAL, "Predicted probability that the latest dispatch fails."),
    column("predicted_run_s", REAL, "Predicted run time of the latest dispatch, seconds."),
    column("model_version", TEXT, "What made the predictions; rule: no model."),
    column("workflow_id", TEXT, "Workflow the job belongs to."),
    column("ordering_key", TEXT, "Jobs with the same key run one at a time, in order."),
    column("labels", JSONB, "The producer's string pairs."),
    column("payload", JSONB, "What the task is given; values the producer called sensitive are masked."),
    column("payload_bytes", INT, "Size of the payload as submitted, bytes."),
    column("idempotency_key", TEXT, "The producer's key: one (tenant, key) is one job."),
    column("origin_epoch", TEXT, "Incarnation of the topics the job was submitted to."),
    column("origin_partition", INT, "Partition of the job's record in the topic jobs."),
    column("origin_offset", BIG, "Offset of the job's record in the topic jobs."),
    column("verdict_offset", BIG, "Offset in jobs.events of the latest verdict about the job that holds."),
    column("submitted_at", TIME, "When the broker took the job's record."),
    column("ready_at", TIME, "When the latest dispatch had nothing to wait for any more."),
    column("queued_at", TIME, "When the latest dispatch was put into its bucket."),
    column("started_at", TIME, "When the latest dispatch started; while it runs: when it was claimed."),
    column("finished_at", TIME, "When the job came to its end; null while it has none."),
    column("due_at", TIME, "What a waiting or retrying job waits for; null when it waits for no time."),
    column("deadline_at", TIME, "When the job should be done, as submitted."),
    column("expires_at", TIME, "The job is dropped when not started by then, as submitted."),
    column("executor_id", TEXT, "Executor of the latest claim (its boot id)."),
    column("error_class", TEXT, "Class of the latest error; stays when a later attempt succeeds."),
    column("error_message", TEXT, "Message of the latest error; stays when a later attempt succeeds."),
    column("result", JSONB, "What the task returned."),
    column("trace_id", TEXT, "Trace id of the W3C trace context, 32 hex digits."),
    column("updated_at", TIME, "When the latest record about the job was appended."),
    needed("state_rank", INT, "How far along its path the state is; a state replaces only smaller ranks."),
    column("error_type", TEXT, "Type of the latest error, such as an exception's name."),
    column("dispatch", INT, "Dispatch number of the latest claim, from 1."),
    column("queued_dispatch", INT, "Dispatch number the queue columns (bucket to queued_at) belong to."),
    column("run_s", REAL, "Run time of the latest attempt that succeeded or failed, seconds."),
    column("timeout_s", REAL, "Limit of one attempt, seconds."),
    column("run_at", TIME, "The job does not start before, as submitted."),
    column("waiting_on", TEXT, "Gate a waiting job waits at: id, parents, due or order."),
    column("last_decision", TEXT, "Latest decision about the job and its reason."),
    column("progress", REAL, "How far the latest dispatch says it is, 0 to 1."),
    column("progress_message", TEXT, "What the latest dispatch says it is doing."),
    column("progress_dispatch", INT, "Dispatch number the progress belongs to."),
    column("cancel_asked_at", TIME, "When the latest request to cancel was appended."),
    column("cancel_by", TEXT, "Who asked to cancel."),
    column("cancel_reason", TEXT, "Why."),
    column(
        "depends_on",
        JSONB,
        "Jobs of its workflow that come first: ids, or an object naming a group.",
    ),
    column("job_group", TEXT, "Group of its workflow the job belongs to."),
    column("on_parent_failure", TEXT, "What happens when a parent ends without success: skip, run or wait."),
    column("signature", TEXT, "Which failure the latest one was; stays when a later attempt succeeds."),
    one_of("state", "state", (state.value for state in State)),
    # On a column that updates leave alone: an index that names the state, even in its condition, makes
    # every change of state write all indexes (no heap-only tuples): half as much CPU again, measured.
    sa.Index(None, "submitted_at"),
    # Written once a dispatch, when it is queued, and left alone by changes of state: `penstock why` walks it
    # from where the executors are.
    sa.Index(None, "pool", "bucket", "ready_at"),
    sa.Index(None, "workflow_id", postgresql_where=sa.text("workflow_id IS NOT NULL")),
    # Written only when something failed; dead letters are grouped by it.
    sa.Index(None, "signature", postgresql_where=sa.text("signature IS NOT NULL")),
    comment="One row a job: the merge of all that jobs.events says about it.",
    postgresql_with={"fillfactor": str(FILLFACTOR)},
)
