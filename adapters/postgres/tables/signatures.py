"""Kinds of failures that were met: a view of the topic ``signatures``."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import BIG, METADATA, TEXT, TIME, column, key, needed

signatures = sa.Table(
    "signatures",
    METADATA,
    key("signature", TEXT, "The kind of failure, 16 hex digits: what job_attempts.signature names."),
    needed(
        "error_class", TEXT, "Class of the failure: permanent, transient, overload, timeout, lost, poison."
    ),
    needed("error_type", TEXT, "Type of the error, such as an exception's name; empty: of any type."),
    needed(
        "template",
        TEXT,
        "The message without what varies: <num>, <str> and the like by form, <*> what differed from one to "
        "the next; <*> alone: whatever else was said.",
    ),
    needed("location", TEXT, "Where the app failed, file:function; empty: not known."),
    column("task_type", TEXT, "Type of the job it was first met with."),
    needed("first_seen", TIME, "When it was first met."),
    needed("log_offset", BIG, "Place in the topic signatures of the record that began it."),
    needed("learned_offset", BIG, "Place of the record that last made its template more general."),
    comment="One row a kind of failure, as learned from failures so far.",
)
