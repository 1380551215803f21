"""An index by which the newest decisions are found."""

from alembic import op

revision = "20261127_scores_index"
down_revision = "20261127_models"
branch_labels = None
depends_on = None

_INDEX = "ix_job_scores_decided_at"


def upgrade() -> None:
    """Create it."""
    op.create_index(_INDEX, "job_scores", ["decided_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_INDEX, "job_scores")
