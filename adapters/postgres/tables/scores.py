"""One row a dispatch whose features were logged: what it was scored by, and what models expected."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import INT, METADATA, REAL, TEXT, TIME, UUID, column, key, needed

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
    # Rows come nearly in this order, so the index costs little; training asks for the newest.
    sa.Index(None, "decided_at"),
    comment="What dispatches were scored by; of all up to a rate, of a share chosen by hash above it.",
)
