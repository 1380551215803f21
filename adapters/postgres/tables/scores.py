"""One row a dispatch whose features were logged: what it was scored by, and what models expected."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    INT,
    METADATA,
    REAL,
    TEXT,
    TIME,
    UUID,
    column,
    key,
    needed,
    one_of,
)
from adapters.postgres.tables.query_view import QueryView
from core.learning.preemption import Way

job_scores = sa.Table(
    "job_scores",
    METADATA,
    key("job_id", UUID, "The job."),
    key("n", INT, "Dispatch number."),
    needed("decided_at", TIME, "When it was scored."),
    needed("model", TEXT, "What its order came from: rule, ewma, or the id of a model."),
    needed("features", TEXT, "Which table of features the vector follows."),
    needed("vector", sa.LargeBinary(), "The features, little-endian float32, in the order of that table."),
    column("candidate", TEXT, "Model the predictions are of, also one that is not trusted; null: none."),
    column("log_run", REAL, "Predicted natural log of 1 + run time in ms."),
    column("failed", REAL, "Predicted probability that the dispatch fails."),
    column("shadow", TEXT, "Model that is watched and never used; null: none."),
    column("shadow_log_run", REAL, "As log_run, by the shadow."),
    column("shadow_failed", REAL, "As failed, by the shadow."),
    column("point", REAL, "From which predicted probability on the model is nearly certain of failures."),
    column("way", TEXT, "What was done about a dispatch above that; null: it is not, or nobody looks."),
    one_of("way", "way", (way.value for way in Way)),
    # Rows come nearly in this order, so the index costs little; training asks for the newest.
    sa.Index(None, "decided_at"),
    sa.Index("ix_job_scores_above", "decided_at", postgresql_where=sa.text("way IS NOT NULL")),
    comment="What dispatches were scored by; of all up to a rate, of a share chosen by hash above it.",
)

V1_PREEMPTIONS = QueryView(
    "v1_preemptions",
    """
    SELECT s.job_id, s.n, s.decided_at, j.tenant, j.type, s.candidate AS model, s.failed AS p_fail, s.point,
           exp(s.log_run) / 1000 AS predicted_run_s,
           CASE a.outcome WHEN 'preempted' THEN 'diverted' ELSE s.way END AS way,
           CASE WHEN a.outcome = 'preempted' THEN
               CASE a.decision WHEN 'dead' THEN 'dead' WHEN 'hold' THEN 'hold' WHEN 'retry' THEN 'hold' END
           END AS arm,
           ran.n AS ran_as, ran.outcome, ran.run_s,
           CASE WHEN ran.outcome = 'failed' THEN false
                WHEN ran.outcome = 'succeeded' AND ran.n = s.n THEN true
           END AS false_alarm,
           j.state
    FROM job_scores s
    JOIN jobs j USING (job_id)
    LEFT JOIN job_attempts a USING (job_id, n)
    LEFT JOIN LATERAL (
        SELECT r.n, r.outcome, r.run_s FROM job_attempts r
        WHERE r.job_id = s.job_id AND r.n >= s.n AND r.outcome IN ('succeeded', 'failed')
          AND NOT (r.outcome = 'failed' AND j.state = 'cancelled' AND j.dispatch = r.n)
        ORDER BY r.n LIMIT 1
    ) ran ON ran.n = s.n OR a.outcome = 'preempted'
    WHERE s.way IS NOT NULL
    """,
    {
        "job_id": "The job.",
        "n": "Dispatch number.",
        "decided_at": "When it was scored.",
        "tenant": "Who the job belongs to.",
        "type": "Which task runs the job.",
        "model": "Model that expects it to fail.",
        "p_fail": "Predicted probability that the dispatch fails.",
        "point": "From this probability on at least nine of ten failed where the model was judged.",
        "predicted_run_s": "Predicted run time, seconds.",
        "way": "What was done: diverted. Else it ran, because nothing is diverted (watched), that costs less "
        "(cheap), it was drawn to (sampled), or enough was diverted (budget).",
        "arm": "What became of a diverted one: dead, or hold.",
        "ran_as": "Dispatch that showed how it ends: this one, or of a diverted job the first that ran later "
        "(held until then, or redriven); null: none has ended.",
        "outcome": "How that ended: succeeded or failed.",
        "run_s": "Its run time, seconds.",
        "false_alarm": "Whether the prediction was wrong: true when this dispatch ran and succeeded, false "
        "when it, or the one that showed it, failed; null: not known, as of what was diverted and succeeded "
        "later.",
        "state": "Where the job stands.",
    },
    "One row a dispatch that was predicted to fail. Stable: columns are only ever added, at the end.",
)
