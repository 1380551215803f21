"""The table of what dispatches were scored by."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261127_scores"
down_revision = "20261127_queue"
branch_labels = None
depends_on = None

_TEXT = sa.Text()
_REAL: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "job_scores",
        sa.Column("job_id", postgresql.UUID(), nullable=False, comment="The job."),
        sa.Column("n", sa.Integer(), nullable=False, comment="Dispatch number."),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False, comment="When it was scored."),
        sa.Column(
            "model",
            _TEXT,
            nullable=False,
            comment="What its order came from: rule, ewma, or the id of a model.",
        ),
        sa.Column("features", _TEXT, nullable=False, comment="Which table of features the vector follows."),
        sa.Column(
            "vector",
            sa.LargeBinary(),
            nullable=False,
            comment="The features, little-endian float32, in the order of that table.",
        ),
        sa.Column(
            "candidate",
            _TEXT,
            comment="Model the predictions are of, also one that is not trusted; null: none.",
        ),
        sa.Column("log_run", _REAL, comment="Predicted natural log of 1 + run time in ms."),
        sa.Column("failed", _REAL, comment="Predicted probability that the dispatch fails."),
        sa.Column("shadow", _TEXT, comment="Model that is watched and never used; null: none."),
        sa.Column("shadow_log_run", _REAL, comment="As log_run, by the shadow."),
        sa.Column("shadow_failed", _REAL, comment="As failed, by the shadow."),
        sa.PrimaryKeyConstraint("job_id", "n", name="pk_job_scores"),
        comment="What dispatches were scored by; of all up to a rate, of a share chosen by hash above it.",
    )


def downgrade() -> None:
    """Drop it, with all rows; a rebuild has what the ledger still holds."""
    op.drop_table("job_scores")
