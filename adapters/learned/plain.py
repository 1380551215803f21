"""Models without training: the running mean, and one that knows nothing."""

import math

import numpy as np
from typing_extensions import override

from core.learning.features import COLUMN, FEATURES, PRIOR_FAILED, UNKNOWN_LOG_RUN
from ports.models import Model, Predictions, Vectors, checked


class EwmaModel(Model):
    """EWMA of log run time and shrunk failure rates: what learned models must beat, and fall back to."""

    name = "ewma"

    @override
    def predict(self, vectors: Vectors) -> Predictions:
        vectors = checked(vectors, len(FEATURES))
        return Predictions(
            log_run=vectors[:, COLUMN["expected_run"]], failed=vectors[:, COLUMN["expected_failed"]]
        )


class ConstantModel(Model):
    """Expects the same of every job, so that all are served in order of arrival."""

    name = "constant"

    @override
    def predict(self, vectors: Vectors) -> Predictions:
        jobs = len(checked(vectors, len(FEATURES)))
        return Predictions(
            log_run=np.full(jobs, UNKNOWN_LOG_RUN, np.float32), failed=np.full(jobs, PRIOR_FAILED, np.float32)
        )


class LastTwoModel(Model):
    """Mean of the last two run times (Tsafrir et al., TPDS 2007) of the tenant's type, or a wider key."""

    name = "last_two"

    @override
    def predict(self, vectors: Vectors) -> Predictions:
        vectors = checked(vectors, len(FEATURES))
        log_run = np.full(len(vectors), math.nan, np.float32)
        for kind in ("tenant_type", "type", "tenant", "everything"):
            last = np.expm1(vectors[:, COLUMN[f"{kind}.last_run"]])
            previous = np.expm1(vectors[:, COLUMN[f"{kind}.previous_run"]])
            mean = np.log1p(np.where(np.isnan(previous), last, (last + previous) / 2))
            log_run = np.where(np.isnan(log_run), mean, log_run)
        log_run = np.where(np.isnan(log_run), np.float32(UNKNOWN_LOG_RUN), log_run)
        return Predictions(log_run=log_run, failed=vectors[:, COLUMN["expected_failed"]])
