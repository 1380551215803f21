"""Features of a retry decision: where each is computed, in the order of ``core.retrying.columns.FEATURES``.

What is seen is what had ended strictly before the decision, the failure decided about aside. The vector that
was decided by is logged, and trained on as logged.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from core.retrying.bins import Vector
from core.retrying.columns import MISSING, OF_KEY, Kind
from core.retrying.standing import HALF_LIFE_S, NEVER, PRIOR_SHARE, PRIOR_TRIES, Standing

WEEK_S = 7 * 86_400
WEEK_BEGINS_S = 4 * 86_400
"""The first Monday since 1970 began after so many seconds."""


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


_ABSENT = tuple(feature.default for feature in OF_KEY)


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
