"""How far each partition is in the tables: moved in the same transaction as the rows."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import BIG, INT, METADATA, TEXT, column, key, needed

stage_offsets = sa.Table(
    "stage_offsets",
    METADATA,
    key("stage", TEXT, "Who writes the rows, such as materializer."),
    key("epoch", TEXT, "Incarnation of the topics."),
    key("partition", INT, "Partition of jobs.events."),
    needed("next_offset", BIG, "Everything below this offset is in the tables, nothing from it on."),
    column("rows_version", INT, "Newest version of rows that was written; null: by no writer that says so."),
    column("rows_offset", BIG, "Up to here that version wrote; from here on, to next_offset, an older one."),
    comment="How far the tables are; moved by compare-and-set in the transaction that writes the rows.",
)
