"""What people did with dead letters; views of the topic ``desk``."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    INT,
    METADATA,
    REAL,
    TEXT,
    TIME,
    UUID,
    column,
    key,
    needed,
)
from adapters.postgres.tables.query_view import QueryView

desk_acts = sa.Table(
    "desk_acts",
    METADATA,
    key("act", TEXT, "The act; sorts by when it began."),
    needed("what", TEXT, "redrive, drop, export, pause or resume."),
    needed("said_at", TIME, "When it began."),
    needed("said_by", TEXT, "Who did it."),
    column("filter", TEXT, "The conditions as they were written, or the ids of jobs."),
    column("reason", TEXT, "Why."),
    needed("found", INT, "Dead letters it is about, as it began."),
    column("rate_per_s", REAL, "Most jobs a second, of a redrive; null: as fast as possible."),
    column("edit", TEXT, "What a redrive changed in payloads, as pointers without values."),
    column(
        "ended_at", TIME, "When it was over; null of a pause or a resume, while it is under way, or killed."
    ),
    column(
        "outcome", TEXT, "done, stopped (by itself: what it redrove failed again), interrupted or failed."
    ),
    column("words", TEXT, "What it said in the end."),
    comment="One row each time somebody did something with dead letters.",
)

desk_letters = sa.Table(
    "desk_letters",
    METADATA,
    key("act", TEXT, "The act."),
    key("job_id", UUID, "The job."),
    key("n", INT, "Dispatch after which the job was given up."),
    needed("what", TEXT, "What the act does: redrive, drop or export."),
    needed("at", TIME, "When the act told of it, before it did so."),
    sa.Index(None, "job_id"),
    comment="One row a dead letter that an act is about.",
)

V1_DESK_ACTS = QueryView(
    "v1_desk_acts",
    """
    SELECT a.act, a.what, a.said_at, a.said_by, a.filter, a.reason, a.found,
           (SELECT count(*) FROM desk_letters l WHERE l.act = a.act) AS count,
           a.rate_per_s, a.edit, a.ended_at, a.outcome, a.words
    FROM desk_acts a
    """,
    {
        **{
            name: str(desk_acts.columns[name].comment)
            for name in ("act", "what", "said_at", "said_by", "filter", "reason", "found")
        },
        "count": "Dead letters it was done to.",
        **{
            name: str(desk_acts.columns[name].comment)
            for name in ("rate_per_s", "edit", "ended_at", "outcome", "words")
        },
    },
    "One row each time somebody did something with dead letters. Stable: columns are only ever added, at the "
    "end.",
)
