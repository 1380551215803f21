"""One row a decision about a failure: what was known, what was chosen, and what came of it."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    INT,
    JSONB,
    METADATA,
    REAL,
    TEXT,
    TIME,
    UUID,
    column,
    key,
    needed,
)
from adapters.postgres.tables.query_view import QueryView
from core.retrying.off_policy import ABANDONED_S, WASTED_TRY_S

retry_decisions = sa.Table(
    "retry_decisions",
    METADATA,
    key("job_id", UUID, "The job."),
    key("n", INT, "Dispatch number of what failed."),
    needed("decided_at", TIME, "When the decision was appended."),
    column("signature", TEXT, "Which failure it was: a row of signatures; null: not known."),
    needed("error_class", TEXT, "Class of the failure."),
    needed("action", TEXT, "What was decided: retry or dead."),
    needed("policy", TEXT, "What decided: rule, learned, or explored, which is a draw among all arms."),
    needed("arm", TEXT, "Which way of choosing delays was asked."),
    needed("propensity", REAL, "Probability with which the policy chose this arm here."),
    column("generation", TEXT, "Of what was learned; null: nothing was."),
    column("delay_s", REAL, "Delay of the next dispatch, seconds; null: there is none."),
    column("context", JSONB, "What was known, by name; times in seconds."),
    column("fingerprint", TEXT, "Names the columns of features; null: there are none."),
    column("features", sa.LargeBinary(), "What a model is asked by, little-endian float32."),
    column("model", TEXT, "Model of recoveries in force; null: what the dlq_handler saw itself."),
    column("p_works", REAL, "Chance that the next try works after this delay, by what is in force."),
    column("shadow", TEXT, "Model that is watched and never used; null: none."),
    column("p_shadow", REAL, "As p_works, by the shadow."),
    sa.Index(None, "decided_at"),
    comment="Decisions about failures, with what an evaluation needs: context, arm and propensity.",
)

V1_RETRY_DECISIONS = QueryView(
    "v1_retry_decisions",
    f"""
    SELECT d.job_id, d.n, d.decided_at, j.tenant, j.type, d.signature, d.error_class, d.action, d.policy,
           d.generation, d.arm, d.propensity, d.delay_s, d.context,
           ran.n AS ran_as, ran.outcome, ran.run_s,
           CASE ran.outcome WHEN 'succeeded' THEN true WHEN 'failed' THEN false END AS worked,
           CASE WHEN d.action = 'retry' AND j.state IN ('succeeded', 'dead') THEN
               greatest(0, extract(epoch FROM j.finished_at - d.decided_at)::float8)
               + {WASTED_TRY_S:g} * (SELECT count(*) FROM job_attempts f
                                     WHERE f.job_id = d.job_id AND f.n > d.n AND f.outcome = 'failed')
               + CASE j.state WHEN 'dead' THEN {ABANDONED_S:g} ELSE 0 END
           END AS cost_s,
           j.state, d.model, d.p_works, d.shadow, d.p_shadow
    FROM retry_decisions d
    JOIN jobs j USING (job_id)
    LEFT JOIN LATERAL (
        SELECT r.n, r.outcome, r.run_s FROM job_attempts r
        WHERE r.job_id = d.job_id AND r.n > d.n AND r.outcome IN ('succeeded', 'failed')
        ORDER BY r.n LIMIT 1
    ) ran ON d.action = 'retry'
    """,  # noqa: S608 - a constant of our own
    {
        "job_id": "The job.",
        "n": "Dispatch number of what failed.",
        "decided_at": "When the decision was appended.",
        "tenant": "Who the job belongs to.",
        "type": "Which task runs the job.",
        **{
            name: str(retry_decisions.columns[name].comment)
            for name in (
                *("signature", "error_class", "action", "policy", "generation", "arm", "propensity"),
                *("delay_s", "context"),
            )
        },
        "ran_as": "Dispatch that showed whether the decision was right; null: none has ended.",
        "outcome": "How that ended: succeeded or failed.",
        "run_s": "Its run time, seconds.",
        "worked": "Whether it succeeded.",
        "cost_s": f"What came after it: the seconds until the end of the job, {WASTED_TRY_S:g} for every try "
        f"that failed, {ABANDONED_S:g} if the job is dead; null: not ended so, or not tried again.",
        "state": "Where the job stands.",
        **{
            name: str(retry_decisions.columns[name].comment)
            for name in ("model", "p_works", "shadow", "p_shadow")
        },
    },
    "One row a decision about a failure. Stable: columns are only ever added, at the end.",
)
