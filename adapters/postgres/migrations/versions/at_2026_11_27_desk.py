"""The tables of what people did with dead letters."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261127_desk"
down_revision = "20261127_signatures"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_TEXT = sa.Text()
_INT = sa.Integer()


def _needed(name: str, type_: sa.types.TypeEngine[Any], comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_, autoincrement=False, nullable=False, comment=comment)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "desk_acts",
        _needed("act", _TEXT, "The act; sorts by when it began."),
        _needed("what", _TEXT, "redrive, drop, export, pause or resume."),
        _needed("said_at", _TIME, "When it began."),
        _needed("said_by", _TEXT, "Who did it."),
        sa.Column("filter", _TEXT, comment="The conditions as they were written, or the ids of jobs."),
        sa.Column("reason", _TEXT, comment="Why."),
        _needed("found", _INT, "Dead letters it is about, as it began."),
        sa.Column(
            "rate_per_s", sa.Double(), comment="Most jobs a second, of a redrive; null: as fast as possible."
        ),
        sa.Column("edit", _TEXT, comment="What a redrive changed in payloads, as pointers without values."),
        sa.Column(
            "ended_at",
            _TIME,
            comment="When it was over; null of a pause or a resume, while it is under way, or killed.",
        ),
        sa.Column(
            "outcome",
            _TEXT,
            comment="done, stopped (by itself: what it redrove failed again), interrupted or failed.",
        ),
        sa.Column("words", _TEXT, comment="What it said in the end."),
        sa.PrimaryKeyConstraint("act", name="pk_desk_acts"),
        comment="One row each time somebody did something with dead letters.",
    )
    op.create_table(
        "desk_letters",
        _needed("act", _TEXT, "The act."),
        _needed("job_id", postgresql.UUID(as_uuid=False), "The job."),
        _needed("n", _INT, "Dispatch after which the job was given up."),
        _needed("what", _TEXT, "What the act does: redrive, drop or export."),
        _needed("at", _TIME, "When the act told of it, before it did so."),
        sa.PrimaryKeyConstraint("act", "job_id", "n", name="pk_desk_letters"),
        comment="One row a dead letter that an act is about.",
    )
    op.create_index("ix_desk_letters_job_id", "desk_letters", ["job_id"])


def downgrade() -> None:
    """Drop them, with all rows; the topic has everything. The view on them goes first."""
    op.execute("DROP VIEW IF EXISTS v1_desk_acts")
    op.drop_table("desk_letters")
    op.drop_table("desk_acts")
