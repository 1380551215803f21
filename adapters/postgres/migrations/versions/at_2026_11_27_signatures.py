"""Which failure it was: kinds of failures, and the columns that name them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261127_signatures"
down_revision = "20261127_preemption"
branch_labels = None
depends_on = None

_TEXT = sa.Text()
_BIG = sa.BigInteger()
_INDEX = "ix_jobs_signature"


def _needed(name: str, type_: sa.types.TypeEngine[Any], comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, comment=comment)


def upgrade() -> None:
    """Create the table, add the columns, and an index of the jobs that failed."""
    op.create_table(
        "signatures",
        _needed("signature", _TEXT, "The kind of failure, 16 hex digits: what job_attempts.signature names."),
        _needed(
            "error_class",
            _TEXT,
            "Class of the failure: permanent, transient, overload, timeout, lost, poison.",
        ),
        _needed("error_type", _TEXT, "Type of the error, such as an exception's name; empty: of any type."),
        _needed(
            "template",
            _TEXT,
            "The message without what varies: <num>, <str> and the like by form, <*> what differed from one "
            "to the next; <*> alone: whatever else was said.",
        ),
        _needed("location", _TEXT, "Where the app failed, file:function; empty: not known."),
        sa.Column("task_type", _TEXT, comment="Type of the job it was first met with."),
        _needed("first_seen", sa.DateTime(timezone=True), "When it was first met."),
        _needed("log_offset", _BIG, "Place in the topic signatures of the record that began it."),
        _needed("learned_offset", _BIG, "Place of the record that last made its template more general."),
        sa.PrimaryKeyConstraint("signature", name="pk_signatures"),
        comment="One row a kind of failure, as learned from failures so far.",
    )
    op.add_column(
        "job_attempts",
        sa.Column(
            "signature", _TEXT, comment="Which failure it was: a row of signatures; null: none, or not known."
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "signature",
            _TEXT,
            comment="Which failure the latest one was; stays when a later attempt succeeds.",
        ),
    )
    op.create_index(_INDEX, "jobs", ["signature"], postgresql_where=sa.text("signature IS NOT NULL"))


def downgrade() -> None:
    """Drop them; the views on them go first."""
    op.execute("DROP VIEW IF EXISTS v1_signatures, v1_attempts, v1_jobs, v1_workflows")
    op.drop_index(_INDEX, "jobs")
    op.drop_column("jobs", "signature")
    op.drop_column("job_attempts", "signature")
    op.drop_table("signatures")
