"""What models are for: to order jobs, as all before, or to time retries."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261128_models_by_purpose"
down_revision = "20261128_retry_models"
branch_labels = None
depends_on = None

_COMMENTS = (
    (
        *("models", "kind", False),
        "boosted, or tree: one tree for each output.",
        "boosted; tree: one tree for each output; or recovery: what retries learn from.",
    ),
    (
        *("models", "rows", False),
        "Dispatches it was trained on.",
        "Dispatches, or failures that were tried again, it was trained on.",
    ),
    (
        *("model_acts", "champion", True),
        "Model that orders jobs from then on; null: the running mean.",
        "Model that orders jobs, or times retries, from then on; null: the running mean, or history.",
    ),
    (
        *("model_acts", "shadow", True),
        "Model that predicts beside it and orders nothing.",
        "Model that predicts beside it and decides nothing.",
    ),
    (
        *("model_acts", "enabled", False),
        "False: the rule orders, as if there were no models.",
        "False: as if there were no models of this purpose.",
    ),
)
_ACTS = "One row each time somebody said who orders jobs."


def upgrade() -> None:
    """Add the column to both tables. The default is for materializers of versions that know one purpose."""
    for table in ("models", "model_acts"):
        added = sa.Column(
            "purpose",
            sa.Text(),
            nullable=False,
            server_default="order",
            comment="What for: order (jobs), or retry (when to try again what failed).",
        )
        op.add_column(table, added)
    for table, name, nullable, before, after in _COMMENTS:
        _comment(table, name, nullable, before, after)
    op.create_table_comment(
        "model_acts",
        "One row each time somebody said which models of a purpose are in force.",
        existing_comment=_ACTS,
    )


def downgrade() -> None:
    """Drop it; the views on it go first. Models that time retries would order jobs: their rows go."""
    op.execute("DROP VIEW IF EXISTS v1_models, v1_model_acts")
    op.create_table_comment("model_acts", _ACTS)
    for table, name, nullable, before, after in _COMMENTS:
        _comment(table, name, nullable, after, before)
    op.execute("DELETE FROM models WHERE purpose <> 'order'")
    op.execute("DELETE FROM model_acts WHERE purpose <> 'order'")
    op.drop_column("models", "purpose")
    op.drop_column("model_acts", "purpose")


def _comment(table: str, name: str, nullable: bool, before: str, after: str) -> None:
    others: dict[str, sa.types.TypeEngine[Any]] = {"rows": sa.BigInteger(), "enabled": sa.Boolean()}
    type_ = others.get(name, sa.Text())
    op.alter_column(
        table, name, comment=after, existing_comment=before, existing_type=type_, existing_nullable=nullable
    )
