"""Trained models and who said which of them are in force; views of the topic ``models``."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    BIG,
    JSONB,
    METADATA,
    TEXT,
    TIME,
    column,
    key,
    needed,
)
from adapters.postgres.tables.query_view import QueryView

BOOL = sa.Boolean()


def _purpose() -> sa.Column[str]:
    """Give a column with a default: materializers of versions that know one purpose do not name it."""
    return sa.Column(
        "purpose",
        TEXT,
        nullable=False,
        server_default="order",
        comment="What for: order (jobs), or retry (when to try again what failed).",
    )


models = sa.Table(
    "models",
    METADATA,
    key("id", TEXT, "The model; sorts by when it was made."),
    needed("kind", TEXT, "boosted; tree: one tree for each output; or recovery: what retries learn from."),
    needed("created_at", TIME, "When it was made, by the clock of who made it."),
    needed("created_by", TEXT, "Who made it."),
    needed("code_version", TEXT, "Version of Penstock that trained it."),
    needed("data_begin", TIME, "Decisions from here until the cut were trained on."),
    needed("data_cut", TIME, "What ended later was not known to it."),
    needed("rows", BIG, "Dispatches, or failures that were tried again, it was trained on."),
    needed("features", JSONB, "Names of its features, in the order of the vector."),
    needed("metrics", JSONB, "How it did on the newest slice of time, which it was not trained on."),
    needed("beside", JSONB, "The same of ewma, and of the champion it was judged against."),
    column("judged", TEXT, "The verdict in words."),
    column("parent", TEXT, "Champion at that time."),
    needed("sha256", TEXT, "Digest of its bytes."),
    needed("size_bytes", BIG, "Length of its bytes, which are in the topic alone."),
    needed("signed", BOOL, "Whether its manifest is signed; by which key is not known here."),
    _purpose(),
    comment="One row a trained model, also of those that are not kept in the topic any more.",
)

model_acts = sa.Table(
    "model_acts",
    METADATA,
    key("log_offset", BIG, "Place of the record in the topic models; the largest holds."),
    needed("said_at", TIME, "When it was appended."),
    column(
        "champion",
        TEXT,
        "Model that orders jobs, or times retries, from then on; null: the running mean, or history.",
    ),
    column("previous", TEXT, "Champion before: what a rollback goes back to."),
    column("shadow", TEXT, "Model that predicts beside it and decides nothing."),
    needed("enabled", BOOL, "False: as if there were no models of this purpose."),
    needed("said_by", TEXT, "Who said so."),
    column("reason", TEXT, "Why."),
    _purpose(),
    comment="One row each time somebody said which models of a purpose are in force.",
)

V1_MODELS = QueryView(
    "v1_models",
    """
    SELECT m.id,
           CASE m.id WHEN a.champion THEN 'champion' WHEN a.shadow THEN 'shadow'
                     WHEN a.previous THEN 'previous' END AS role,
           coalesce(a.enabled AND m.id = a.champion, false) AND m.purpose = 'order' AS orders,
           m.kind, m.created_at, m.created_by, m.code_version, m.data_begin, m.data_cut, m.rows, m.features,
           m.metrics, m.beside, m.judged, m.parent, m.sha256, m.size_bytes, m.signed, m.purpose,
           coalesce(a.enabled AND m.id = a.champion, false) AS in_force
    FROM models m
    LEFT JOIN (SELECT DISTINCT ON (purpose) * FROM model_acts ORDER BY purpose, log_offset DESC) a
        ON a.purpose = m.purpose
    """,
    {
        "id": "The model; sorts by when it was made.",
        "role": "champion, shadow or previous, by the latest act of its purpose; null: none of them.",
        "orders": "Whether jobs are to be ordered by it now: it is the champion, and models are enabled.",
        **{
            name: str(models.columns[name].comment)
            for name in (
                *("kind", "created_at", "created_by", "code_version", "data_begin", "data_cut", "rows"),
                *("features", "metrics", "beside", "judged", "parent", "sha256", "size_bytes", "signed"),
                "purpose",
            )
        },
        "in_force": "Whether it decides now what it is for: it is the champion, and models are enabled.",
    },
    "One row a trained model. Stable: columns are only ever added, at the end.",
)
