"""What was done about dispatches that are predicted to fail."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_preemption"
down_revision = "20261127_scores_index"
branch_labels = None
depends_on = None

_INDEX = "ix_job_scores_above"


def upgrade() -> None:
    """Add the columns, and an index of those rows."""
    op.add_column(
        "job_scores",
        sa.Column(
            "point",
            sa.Double(),
            comment="From which predicted probability on the model is nearly certain of failures.",
        ),
    )
    op.add_column(
        "job_scores",
        sa.Column(
            "way",
            sa.Text(),
            comment="What was done about a dispatch above that; null: it is not, or nobody looks.",
        ),
    )
    op.create_check_constraint(
        "way", "job_scores", "way IN ('watched', 'cheap', 'sampled', 'budget', 'diverted')"
    )
    op.create_index(_INDEX, "job_scores", ["decided_at"], postgresql_where=sa.text("way IS NOT NULL"))


def downgrade() -> None:
    """Drop them; the view on them goes first."""
    op.execute("DROP VIEW IF EXISTS v1_preemptions, v1_scores")
    op.drop_index(_INDEX, "job_scores")
    op.drop_column("job_scores", "way")
    op.drop_column("job_scores", "point")
