"""What jobs depend on, and an index that finds the jobs of a workflow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_workflows"
down_revision = "20261121_states"
branch_labels = None
depends_on = None

_TEXT = sa.Text()
_COLUMNS = (
    sa.Column(
        "depends_on",
        postgresql.JSONB(),
        comment="Jobs of its workflow that come first: ids, or an object naming a group.",
    ),
    sa.Column("job_group", _TEXT, comment="Group of its workflow the job belongs to."),
    sa.Column(
        "on_parent_failure",
        _TEXT,
        comment="What happens when a parent ends without success: skip, run or wait.",
    ),
)


def upgrade() -> None:
    """Add them; existing rows are left alone."""
    for column in _COLUMNS:
        op.add_column("jobs", column)
    op.create_index(
        "ix_jobs_workflow_id", "jobs", ["workflow_id"], postgresql_where=sa.text("workflow_id IS NOT NULL")
    )


def downgrade() -> None:
    """Take them away, with what they hold; the log has everything."""
    op.execute("DROP VIEW IF EXISTS v1_workflows")
    op.execute("DROP VIEW IF EXISTS v1_jobs")
    op.drop_index("ix_jobs_workflow_id", "jobs")
    for column in reversed(_COLUMNS):
        op.drop_column("jobs", column.name)
