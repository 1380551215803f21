"""An index that finds what stands before a queued job."""

from alembic import op

revision = "20261127_queue"
down_revision = "20261126_schedules"
branch_labels = None
depends_on = None

_NAME = "ix_jobs_pool_bucket_ready_at"


def upgrade() -> None:
    """Build it; the materializer waits meanwhile."""
    op.create_index(_NAME, "jobs", ["pool", "bucket", "ready_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_NAME, "jobs")
