"""The tables of trained models and of who said which of them orders jobs."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261127_models"
down_revision = "20261127_scores"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_TEXT = sa.Text()
_BIG = sa.BigInteger()


def _needed(name: str, type_: sa.types.TypeEngine[Any], comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, comment=comment)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "models",
        _needed("id", _TEXT, "The model; sorts by when it was made."),
        _needed("kind", _TEXT, "boosted, or tree: one tree for each output."),
        _needed("created_at", _TIME, "When it was made, by the clock of who made it."),
        _needed("created_by", _TEXT, "Who made it."),
        _needed("code_version", _TEXT, "Version of Penstock that trained it."),
        _needed("data_begin", _TIME, "Decisions from here until the cut were trained on."),
        _needed("data_cut", _TIME, "What ended later was not known to it."),
        _needed("rows", _BIG, "Dispatches it was trained on."),
        _needed("features", postgresql.JSONB(), "Names of its features, in the order of the vector."),
        _needed(
            "metrics",
            postgresql.JSONB(),
            "How it did on the newest slice of time, which it was not trained on.",
        ),
        _needed("beside", postgresql.JSONB(), "The same of ewma, and of the champion it was judged against."),
        sa.Column("judged", _TEXT, comment="The verdict in words."),
        sa.Column("parent", _TEXT, comment="Champion at that time."),
        _needed("sha256", _TEXT, "Digest of its bytes."),
        _needed("size_bytes", _BIG, "Length of its bytes, which are in the topic alone."),
        _needed("signed", sa.Boolean(), "Whether its manifest is signed; by which key is not known here."),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        comment="One row a trained model, also of those that are not kept in the topic any more.",
    )
    op.create_table(
        "model_acts",
        sa.Column(
            "log_offset",
            _BIG,
            autoincrement=False,
            nullable=False,
            comment="Place of the record in the topic models; the largest holds.",
        ),
        _needed("said_at", _TIME, "When it was appended."),
        sa.Column("champion", _TEXT, comment="Model that orders jobs from then on; null: the running mean."),
        sa.Column("previous", _TEXT, comment="Champion before: what a rollback goes back to."),
        sa.Column("shadow", _TEXT, comment="Model that predicts beside it and orders nothing."),
        _needed("enabled", sa.Boolean(), "False: the rule orders, as if there were no models."),
        _needed("said_by", _TEXT, "Who said so."),
        sa.Column("reason", _TEXT, comment="Why."),
        sa.PrimaryKeyConstraint("log_offset", name="pk_model_acts"),
        comment="One row each time somebody said who orders jobs.",
    )


def downgrade() -> None:
    """Drop them, with all rows; the topic has the newest."""
    op.drop_table("model_acts")
    op.drop_table("models")
