"""One row a dispatch that was claimed or pre-empted."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    BIG,
    INT,
    JSONB,
    METADATA,
    REAL,
    TEXT,
    TIME,
    UUID,
    column,
    key,
    one_of,
)
from core.ledger.verdicts import Action

OUTCOMES = ("succeeded", "failed", "lost", "released", "preempted")

job_attempts = sa.Table(
    "job_attempts",
    METADATA,
    key("job_id", UUID, "The job."),
    key("n", INT, "Dispatch number, from 1; rises also when no attempt is used up."),
    column("attempt", INT, "Attempt number, from 1; rises only after a failure."),
    column("executor_id", TEXT, "Executor that claimed the dispatch (its boot id)."),
    column("claimed_at", TIME, "When the claim was appended."),
    column("started_at", TIME, "When the task started; null for a dispatch that was lost or released."),
    column("finished_at", TIME, "When the outcome was appended; null while the dispatch runs."),
    column(
        "outcome", TEXT, "How it ended (lost: its executor vanished; released: handed back); null: it runs."
    ),
    column("run_s", REAL, "Run time, seconds; null unless it succeeded or failed."),
    column("error_class", TEXT, "Class of the error; stays when the success of a lost dispatch comes late."),
    column("error_type", TEXT, "Type of the error, such as an exception's name."),
    column("error_message", TEXT, "Message of the error, or why the dispatch was lost or released."),
    column("decision", TEXT, "What was decided after it: retry, hold, dead; null when nothing had to be."),
    column("decision_reason", TEXT, "Why."),
    column("decided_at", TIME, "When the decision was appended."),
    column("decision_policy", TEXT, "What decided: rule, or the name of a policy."),
    column("propensity", REAL, "Probability with which the policy chose this decision."),
    column("due_at", TIME, "For a retry: before this time the next dispatch does not start."),
    column("p_fail", REAL, "For a pre-empted dispatch: the predicted probability that it fails."),
    column("features", JSONB, "Features the dispatch was scored by; null when no model scored it."),
    column("claim_offset", BIG, "Offset of the claim in jobs.events."),
    column("closure_offset", BIG, "Offset of the record in jobs.events that gave the outcome."),
    column("dlq_offset", BIG, "Offset in jobs.dlq of the failed job with traceback and log tail."),
    column("signature", TEXT, "Which failure it was: a row of signatures; null: none, or not known."),
    one_of("outcome", "outcome", OUTCOMES),
    one_of("decision", "decision", (action.value for action in Action)),
    comment="One row a dispatch of a job: who ran it, how it ended, what was decided then.",
    postgresql_with={"fillfactor": "50"},
)
