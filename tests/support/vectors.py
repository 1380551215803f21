"""Vectors of jobs to train and ask models with."""

import numpy as np

from adapters.learned.probe import NEVER_MISSING
from core.learning.features import COLUMN, FEATURES
from ports.models import Vectors


def unknown_vectors(jobs: int) -> Vectors:
    """Give vectors of jobs of which nothing is known: all is missing but what never is."""
    found = np.full((jobs, len(FEATURES)), np.nan, np.float32)
    for name in NEVER_MISSING:
        found[:, COLUMN[name]] = FEATURES[COLUMN[name]].default
    return found
