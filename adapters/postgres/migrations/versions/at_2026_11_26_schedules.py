"""The table of recurring schedules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_schedules"
down_revision = "20261126_workflows"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_TEXT = sa.Text()


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "schedules",
        sa.Column(
            "name", _TEXT, nullable=False, comment="Name of the schedule; the label schedule of its jobs."
        ),
        sa.Column(
            "incarnation",
            _TEXT,
            nullable=False,
            comment="Differs when a schedule is deleted and created again under its name.",
        ),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="1, and one more with each edit, pause and resume.",
        ),
        sa.Column("state", _TEXT, nullable=False, comment="Whether it fires; ended: it has no further tick."),
        sa.Column("ticks", _TEXT, comment="When it ticks: the cron expression, the interval, or once."),
        sa.Column("zone", _TEXT, comment="Time zone of the cron expression."),
        sa.Column("tenant", _TEXT, comment="Tenant of its jobs."),
        sa.Column("type", _TEXT, comment="Which task runs its jobs."),
        sa.Column("pool", _TEXT, comment="Execution pool of its jobs."),
        sa.Column("catch_up", _TEXT, comment="What becomes of ticks that were missed."),
        sa.Column(
            "overlap", _TEXT, comment="What a tick does while the job of an earlier one has not ended."
        ),
        sa.Column(
            "definition",
            postgresql.JSONB(),
            comment="The whole plan; values its job calls sensitive are masked.",
        ),
        sa.Column("last_tick", _TIME, comment="The newest tick that fired."),
        sa.Column("next_tick", _TIME, comment="The next tick; null unless it is active."),
        sa.Column("fired", sa.BigInteger(), nullable=False, comment="Ticks that fired."),
        sa.Column("settled_until", _TIME, comment="Every tick up to here has fired or was passed over."),
        sa.Column("changed_at", _TIME, nullable=False, comment="When the definition was appended."),
        sa.Column("changed_by", _TEXT, comment="Who changed it last."),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'ended', 'deleted')", name=sa.schema.conv("ck_schedules_state")
        ),
        sa.CheckConstraint(
            "catch_up IN ('skip', 'latest', 'all')", name=sa.schema.conv("ck_schedules_catch_up")
        ),
        sa.CheckConstraint(
            "overlap IN ('allow', 'skip', 'queue')", name=sa.schema.conv("ck_schedules_overlap")
        ),
        comment="One row a recurring schedule: how it is defined and how far it has fired.",
    )


def downgrade() -> None:
    """Drop it, with all rows; the topic has everything."""
    op.drop_table("schedules")
