"""One row a recurring schedule, also of those that were deleted."""

import sqlalchemy as sa

from adapters.postgres.tables.metadata import (
    BIG,
    INT,
    JSONB,
    METADATA,
    TEXT,
    TIME,
    column,
    key,
    needed,
    one_of,
)
from core.schedules import CatchUp, Overlap

STATES = ("active", "paused", "ended", "deleted")

schedules = sa.Table(
    "schedules",
    METADATA,
    key("name", TEXT, "Name of the schedule; the label schedule of its jobs."),
    needed("incarnation", TEXT, "Differs when a schedule is deleted and created again under its name."),
    needed("version", INT, "1, and one more with each edit, pause and resume."),
    needed("state", TEXT, "Whether it fires; ended: it has no further tick."),
    column("ticks", TEXT, "When it ticks: the cron expression, the interval, or once."),
    column("zone", TEXT, "Time zone of the cron expression."),
    column("tenant", TEXT, "Tenant of its jobs."),
    column("type", TEXT, "Which task runs its jobs."),
    column("pool", TEXT, "Execution pool of its jobs."),
    column("catch_up", TEXT, "What becomes of ticks that were missed."),
    column("overlap", TEXT, "What a tick does while the job of an earlier one has not ended."),
    column("definition", JSONB, "The whole plan; values its job calls sensitive are masked."),
    column("last_tick", TIME, "The newest tick that fired."),
    column("next_tick", TIME, "The next tick; null unless it is active."),
    needed("fired", BIG, "Ticks that fired."),
    column("settled_until", TIME, "Every tick up to here has fired or was passed over."),
    needed("changed_at", TIME, "When the definition was appended."),
    column("changed_by", TEXT, "Who changed it last."),
    one_of("state", "state", STATES),
    one_of("catch_up", "catch_up", (one.value for one in CatchUp)),
    one_of("overlap", "overlap", (one.value for one in Overlap)),
    comment="One row a recurring schedule: how it is defined and how far it has fired.",
)
