"""Features of a retry decision: where each is named, given a unit, an order, a default, and computed.

What is seen is what had ended strictly before the decision, the failure decided about aside. The vector that
was decided by is logged, and trained on as logged.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from core.retrying.bins import Vector
from core.retrying.standing import (
    HALF_LIFE_S,
    NEVER,
    PRIOR_SHARE,
    PRIOR_TRIES,
    Kind,
    Standing,
)

MISSING = math.nan
WEEK_S = 7 * 86_400
WEEK_BEGINS_S = 4 * 86_400
"""The first Monday since 1970 began after so many seconds."""


class Feature(NamedTuple):
    """One column; its place in ``FEATURES`` is its place in the vector."""

    name: str
    unit: str
    default: float


class Failure(NamedTuple):
    """What is known of the job whose try failed.

    Attributes
    ----------
    failures
        Of this job, the newest included, >= 1.
    attempt
        Tries of this job so far, also those that were lost or handed back, >= 1.
    age_s
        Of the episode.
    run_s, previous_run_s, mean_run_s
        How long the failed tries ran: the newest, the one before, and all; NaN where not known.
    """

    failures: int
    attempt: int
    age_s: float
    now_s: float
    run_s: float = MISSING
    previous_run_s: float = MISSING
    mean_run_s: float = MISSING
    priority: int = 5
    payload_bytes: int = 0


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
"""What is known of the job and the time, in the order in which ``_of_failure`` gives it."""

_OF_KEY = (
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
"""What is known of every key, in the order in which ``_of_key`` gives it."""

FEATURES: tuple[Feature, ...] = (
    *_OF_FAILURE,
    *(feature._replace(name=f"{kind.name.lower()}.{feature.name}") for kind in Kind for feature in _OF_KEY),
)
"""Every column, in order."""
FINGERPRINT = hashlib.sha256("\n".join(feature.name for feature in FEATURES).encode()).hexdigest()[:8]
"""Names the columns and their order: vectors that were logged under another one mean something else."""
COLUMN = {feature.name: place for place, feature in enumerate(FEATURES)}
"""Place of a feature by its name."""
_ABSENT = tuple(feature.default for feature in _OF_KEY)


def features(failure: Failure, standings: Mapping[Kind, Standing]) -> Vector:
    """Compute the vector of one decision, (n_features,) float32 in the order of ``FEATURES``.

    Shares of a key are shrunk towards those of the wider key before it.
    """
    values = _of_failure(failure)
    works = retry_works = PRIOR_SHARE
    for kind in Kind:
        standing = standings.get(kind)
        if standing is None:
            values += _ABSENT
            continue
        works = _share(standing.worked_now, standing.failed_now, works)
        retry_works = _share(standing.retry_worked_now, standing.retry_failed_now, retry_works)
        values += _of_key(standing, failure.now_s, works, retry_works)
    return np.array(values, np.float32)


def _of_failure(failure: Failure) -> tuple[float, ...]:
    run = _log(failure.run_s)
    return (
        float(failure.failures),
        float(failure.attempt),
        _log(failure.age_s),
        run,
        run - _log(failure.previous_run_s),
        _log(failure.mean_run_s),
        _log(failure.mean_run_s * failure.failures),
        float(failure.priority),
        _log(float(failure.payload_bytes)),
        failure.now_s % 86_400 / 3600,
        float((failure.now_s - WEEK_BEGINS_S) % WEEK_S // 86_400),
    )


def _of_key(standing: Standing, now_s: float, works: float, retry_works: float) -> tuple[float, ...]:
    keep_1h = 2.0 ** ((standing.at_s - now_s) / HALF_LIFE_S)
    return (
        math.log1p(standing.worked),
        math.log1p(standing.failed),
        works,
        math.log1p(standing.retry_worked),
        math.log1p(standing.retry_failed),
        retry_works,
        math.log1p(standing.worked_1h * keep_1h),
        math.log1p(standing.failed_1h * keep_1h),
        float(standing.streak),
        _since(now_s, standing.last_worked_s),
        _since(now_s, standing.last_failed_s),
    )


def _share(worked: float, failed: float, wider: float) -> float:
    return (worked + PRIOR_TRIES * wider) / (worked + failed + PRIOR_TRIES)


def _since(now_s: float, at_s: float) -> float:
    return MISSING if at_s == NEVER else _log(now_s - at_s)


def _log(value: float) -> float:
    return math.log1p(max(0.0, value)) if not math.isnan(value) else MISSING
