"""One row a line that a task logged."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import INT, METADATA, TEXT, TIME, UUID, key, needed

job_logs = sa.Table(
    "job_logs",
    METADATA,
    key("job_id", UUID, "The job."),
    key("n", INT, "Dispatch number."),
    key("seq", INT, "Number of the line within the dispatch."),
    needed("at", TIME, "When the line was written, by the executor's estimate of the broker's time."),
    needed("level", TEXT, "Severity."),
    needed("message", TEXT, "The line."),
    comment="What tasks wrote with ctx.log.",
)
