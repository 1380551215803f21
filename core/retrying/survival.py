"""From hazards to the chance that an episode is still on.

A *hazard* of a bin is the probability that an episode recovers in it, given that it had not before (the
discrete-time hazard of Cox, "Regression models and life-tables", 1972, section 7). Within a bin the rate is
constant.
"""

import numpy as np

from core.retrying.bins import BINS, EDGES_S, Floats

HAZARD_MAX = 1 - 1e-9
"""A certain recovery would leave nothing to divide by."""


def log_survival(hazards: Floats) -> Floats:
    """Give the logarithm of the chance of not having recovered by each edge, (n_bins + 1,), from 0 down.

    Parameters
    ----------
    hazards
        (n_bins,) in [0, 1].
    """
    if hazards.shape != (BINS,):
        raise ValueError(
            f"hazards have shape {hazards.shape}, not ({BINS},): one a bin of core.retrying.bins"
        )
    log_not = np.log1p(-np.clip(hazards, 0.0, HAZARD_MAX))
    found: Floats = np.r_[0.0, np.cumsum(log_not)]
    return found


def log_surviving(hazards: Floats, ages_s: Floats) -> Floats:
    """Give the logarithm of the chance of not having recovered by each of some ages.

    Counted from the beginning of an episode. Ages beyond the horizon are taken as the horizon: nothing is
    known of them.
    """
    found: Floats = np.interp(ages_s, EDGES_S, log_survival(hazards))
    return found


def surviving(hazards: Floats, ages_s: Floats) -> Floats:
    """Give the chance of not having recovered by each of some ages; see ``log_surviving``."""
    found: Floats = np.exp(log_surviving(hazards, ages_s))
    return found


def success_chance(hazards: Floats, age_s: float, delay_s: float) -> float:
    """Give the probability that a try works after a delay, for what had not recovered at ``age_s``."""
    before, after = surviving(hazards, np.array([age_s, age_s + delay_s]))
    return float(1.0 - after / before)
