"""The table of decisions about failures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261127_retry_decisions"
down_revision = "20261127_desk"
branch_labels = None
depends_on = None

_TEXT = sa.Text()
_REAL: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "retry_decisions",
        sa.Column("job_id", postgresql.UUID(), nullable=False, comment="The job."),
        sa.Column("n", sa.Integer(), nullable=False, comment="Dispatch number of what failed."),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the decision was appended.",
        ),
        sa.Column("signature", _TEXT, comment="Which failure it was: a row of signatures; null: not known."),
        sa.Column("error_class", _TEXT, nullable=False, comment="Class of the failure."),
        sa.Column("action", _TEXT, nullable=False, comment="What was decided: retry or dead."),
        sa.Column(
            "policy",
            _TEXT,
            nullable=False,
            comment="What decided: rule, learned, or explored, which is a draw among all arms.",
        ),
        sa.Column("arm", _TEXT, nullable=False, comment="Which way of choosing delays was asked."),
        sa.Column(
            "propensity",
            _REAL,
            nullable=False,
            comment="Probability with which the policy chose this arm here.",
        ),
        sa.Column("generation", _TEXT, comment="Of what was learned; null: nothing was."),
        sa.Column("delay_s", _REAL, comment="Delay of the next dispatch, seconds; null: there is none."),
        sa.Column("context", postgresql.JSONB(), comment="What was known, by name; times in seconds."),
        sa.PrimaryKeyConstraint("job_id", "n", name="pk_retry_decisions"),
        comment="Decisions about failures, with what an evaluation needs: context, arm and propensity.",
    )
    op.create_index("ix_retry_decisions_decided_at", "retry_decisions", ["decided_at"])


def downgrade() -> None:
    """Drop it, with all rows; a rebuild has what the ledger still holds."""
    op.execute("DROP VIEW IF EXISTS v1_retry_decisions")
    op.drop_table("retry_decisions")
