"""What a learned hazard is asked: one row for each stretch of ages that is still ahead of a failure.

The model corrects what history says of a bin, in log odds, by what is known now and by the hour at which the
bin would come. (A discrete-time hazard is a chain of binary answers, so any classifier can learn one: Brown,
"On the use of indicator variables for studying the time-dependence of parameters in a response-time model",
Biometrics 1975.) Two bins are asked about at once: half the rows, and no worse.
"""

import numpy as np

from core.retrying.bins import BINS, EDGES_S, Floats, Vector
from core.retrying.columns import COLUMNS, FEATURES
from core.retrying.features import WEEK_BEGINS_S, WEEK_S

MERGED = 2
STRETCHES = BINS // MERGED
STRETCH_EDGES_S: Floats = EDGES_S[::MERGED]
"""(``STRETCHES`` + 1,) rising."""
STRETCH_EDGES_S.flags.writeable = False
_MIDDLES_S = np.sqrt(np.maximum(STRETCH_EDGES_S[:-1], 1e-3) * STRETCH_EDGES_S[1:])
LEAST = 1e-6
"""Hazards stay so far from 0 and 1 in log odds."""


def merged(hazards: Floats) -> Floats:
    """Give the hazard of each stretch from that of each bin."""
    found: Floats = 1.0 - np.multiply.reduceat(1.0 - hazards, np.arange(0, BINS, MERGED))
    return found


def unmerged(hazards: Floats) -> Floats:
    """Give the hazard of each bin from that of each stretch; its bins share it alike."""
    found: Floats = np.repeat(1.0 - (1.0 - hazards) ** (1 / MERGED), MERGED)
    return found


def log_odds(hazards: Floats) -> Floats:
    """Give hazards as what a model adds to."""
    kept = np.clip(hazards, LEAST, 1 - LEAST)
    found: Floats = np.log(kept / (1 - kept))
    return found


def first_ahead(age_s: float) -> int:
    """Give the stretch that an age is in: the first that a plan asks about."""
    return int(np.clip(np.searchsorted(STRETCH_EDGES_S, age_s, side="right") - 1, 0, STRETCHES - 1))


def rows_ahead(vector: Vector, age_s: float, now_s: float, by_history: Floats) -> Vector:
    """Give a row for each stretch from the present one on, (n_ahead, n_columns) float32.

    Parameters
    ----------
    by_history
        (``STRETCHES``,): what history says of each stretch.
    """
    first = first_ahead(age_s)
    middles_s = np.maximum(_MIDDLES_S[first:], age_s)
    at_s = now_s + middles_s - age_s
    rows = np.empty((STRETCHES - first, len(COLUMNS)), np.float32)
    rows[:, : len(FEATURES)] = vector
    rows[:, len(FEATURES) :] = np.stack(
        [
            np.log1p(middles_s),
            np.log1p(middles_s - age_s),
            at_s % 86_400 / 3600,
            (at_s - WEEK_BEGINS_S) % WEEK_S // 86_400,
            log_odds(by_history[first:]),
        ],
        axis=1,
    )
    return rows


def with_ahead(by_history: Floats, first: int, odds: Floats) -> Floats:
    """Give the hazard of each bin, (``BINS``,): history's up to the present stretch, a model's from it on.

    Parameters
    ----------
    odds
        (n_ahead,) log odds of the model.
    """
    found = by_history.copy()
    found[first:] = 1 / (1 + np.exp(-odds))
    return unmerged(found)
