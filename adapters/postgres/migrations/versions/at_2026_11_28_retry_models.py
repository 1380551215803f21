"""What models of recoveries are asked by and say, beside each decision about a failure."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_retry_models"
down_revision = "20261127_retry_decisions"
branch_labels = None
depends_on = None

_TEXT = sa.Text()
_REAL: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Add the columns; the view is made anew by whoever migrates."""
    for added in (
        sa.Column("fingerprint", _TEXT, comment="Names the columns of features; null: there are none."),
        sa.Column("features", sa.LargeBinary(), comment="What a model is asked by, little-endian float32."),
        sa.Column(
            "model", _TEXT, comment="Model of recoveries in force; null: what the dlq_handler saw itself."
        ),
        sa.Column(
            "p_works", _REAL, comment="Chance that the next try works after this delay, by what is in force."
        ),
        sa.Column("shadow", _TEXT, comment="Model that is watched and never used; null: none."),
        sa.Column("p_shadow", _REAL, comment="As p_works, by the shadow."),
    ):
        op.add_column("retry_decisions", added)


def downgrade() -> None:
    """Drop them, with what stands in them."""
    op.execute("DROP VIEW IF EXISTS v1_retry_decisions")
    for name in ("fingerprint", "features", "model", "p_works", "shadow", "p_shadow"):
        op.drop_column("retry_decisions", name)
