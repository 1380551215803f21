"""Which version of rows was written how far: what an older writer left out is written again."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_rows_version"
down_revision = "20261128_models_by_purpose"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; an older writer leaves them as they are."""
    op.add_column(
        "stage_offsets",
        sa.Column(
            "rows_version",
            sa.Integer(),
            comment="Newest version of rows that was written; null: by no writer that says so.",
        ),
    )
    op.add_column(
        "stage_offsets",
        sa.Column(
            "rows_offset",
            sa.BigInteger(),
            comment="Up to here that version wrote; from here on, to next_offset, an older one.",
        ),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("stage_offsets", "rows_version")
    op.drop_column("stage_offsets", "rows_offset")
