"""Columns that retries are learned from: where each is named, given a unit, an order and a default.

Without any arithmetic: a service that only asks whether a model fits loads this and no arrays.
"""

import math
from enum import IntEnum

from core.feature import Feature, fingerprint_of, places_of

MISSING = math.nan
"""Default of what cannot be known without history."""


class Kind(IntEnum):
    """What a standing is about, from the widest; the order is that of the features."""

    EVERYTHING = 0
    TENANT = 1
    TYPE = 2
    TENANT_TYPE = 3
    SIGNATURE = 4


_OF_FAILURE = (
    Feature("failures", "tries", 1.0),
    Feature("attempt", "tries", 1.0),
    Feature("age", "log s", 0.0),
    Feature("run", "log s", MISSING),
    Feature("run_change", "log ratio", MISSING),
    Feature("run_mean", "log s", MISSING),
    Feature("run_total", "log s", MISSING),
    Feature("priority", "level", 5.0),
    Feature("payload", "log bytes", 0.0),
    Feature("hour", "h of the day, UTC", MISSING),
    Feature("weekday", "day, Monday 0", MISSING),
)
"""What is known of the job and the time, in the order in which ``core.retrying.features`` gives it."""

OF_KEY = (
    Feature("worked", "log tries", 0.0),
    Feature("failed", "log tries", 0.0),
    Feature("works", "share", MISSING),
    Feature("retry_worked", "log tries", 0.0),
    Feature("retry_failed", "log tries", 0.0),
    Feature("retry_works", "share", MISSING),
    Feature("worked_1h", "log tries", 0.0),
    Feature("failed_1h", "log tries", 0.0),
    Feature("streak", "tries", 0.0),
    Feature("since_worked", "log s", MISSING),
    Feature("since_failed", "log s", MISSING),
)
"""What is known of every key, in the order in which ``core.retrying.features`` gives it."""

FEATURES: tuple[Feature, ...] = (
    *_OF_FAILURE,
    *(feature._replace(name=f"{kind.name.lower()}.{feature.name}") for kind in Kind for feature in OF_KEY),
)
"""Every column, in order."""
FINGERPRINT = fingerprint_of(FEATURES)
"""Names the columns and their order: vectors that were logged under another one mean something else."""
COLUMN = places_of(FEATURES)
"""Place of a feature by its name."""

OF_STRETCH = (
    Feature("stretch_age", "log s", MISSING),
    Feature("stretch_delay", "log s", MISSING),
    Feature("stretch_hour", "h of the day, UTC", MISSING),
    Feature("stretch_weekday", "day, Monday 0", MISSING),
    Feature("stretch_hazard", "log odds", MISSING),
)
COLUMNS: tuple[Feature, ...] = (*FEATURES, *OF_STRETCH)
"""Every column of a row, in order."""
