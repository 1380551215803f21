"""Training of what retries are timed and stopped by, on failures in order of time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from adapters.learned.heads import Head
from adapters.learned.training import MAX_BINS, NothingToLearnError, Params
from core.retrying.ahead import MERGED, first_ahead, rows_ahead, unmerged
from core.retrying.bins import BINS, Floats, Vector
from core.retrying.columns import COLUMNS
from core.retrying.history import Seen, spread

COMMON: Params = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_bin": MAX_BINS,
    "subsample": 0.8,
    "reg_lambda": 5.0,
    "nthread": 1,
    "verbosity": 0,
}
HAZARD: Params = {"eta": 0.05, "max_depth": 4, "min_child_weight": 10, "colsample_bytree": 0.3}
WORKS: Params = {"eta": 0.05, "max_depth": 5, "min_child_weight": 5, "colsample_bytree": 0.5}
HAZARD_ROUNDS = 150
WORKS_ROUNDS = 200
LEAST_WEIGHT = 0.05
"""Rows of less are left out: they are most of the rows, and say next to nothing."""
_STARTS = np.arange(0, BINS, MERGED)


@dataclass(frozen=True)
class Failures:
    """Moments at which a try had failed, and what became of their episodes; all (n_moments,) at first.

    Attributes
    ----------
    vectors
        (n_moments, n_features) float32, ``core.retrying.features.FEATURES``.
    age_s, now_s
        Of the episode, and since 1970.
    by_history
        (n_moments, ``STRETCHES``): what history said then.
    seen
        What was seen of each since; ``since_s`` is ``age_s``.
    """

    vectors: Vector
    age_s: Floats
    now_s: Floats
    by_history: Floats
    seen: Sequence[Seen]

    def __len__(self) -> int:
        return len(self.age_s)


def train_hazard(failures: Failures, seed: int = 1, rounds: int = HAZARD_ROUNDS) -> Head:
    """Train the correction of history's hazard, one row for each (moment, stretch) at risk.

    Raises
    ------
    NothingToLearnError
        No episode recovered.
    """
    rows, labels, weights = hazard_rows(failures)
    _require_both(labels, "stretches of ages")
    data = xgb.QuantileDMatrix(
        rows, label=labels, weight=weights, base_margin=rows[:, -1].copy(), max_bin=MAX_BINS, nthread=1
    )
    booster = xgb.train({**COMMON, **HAZARD, "seed": seed}, data, num_boost_round=rounds)
    return Head(bytes(booster.save_raw("ubj")), rounds)


def train_works(vectors: Vector, worked: Vector, seed: int = 1, rounds: int = WORKS_ROUNDS) -> Head:
    """Train the chance that the next try works.

    Parameters
    ----------
    vectors
        (n_failures, n_features) of failures whose next try has ended by itself.
    worked
        (n_failures,) 1.0 where that try worked.

    Raises
    ------
    NothingToLearnError
        All went alike.
    """
    _require_both(worked, "next tries")
    data = xgb.QuantileDMatrix(vectors, label=worked, max_bin=MAX_BINS, nthread=1)
    booster = xgb.train({**COMMON, **WORKS, "seed": seed}, data, num_boost_round=rounds)
    return Head(bytes(booster.save_raw("ubj")), rounds)


def hazard_rows(failures: Failures) -> tuple[Vector, Vector, Vector]:
    """Give the rows at risk, (n_rows, n_columns), the share of each that recovered, and its weight; float32.

    A recovery that was enclosed by two tries is spread over the stretches between as history would have it.
    """
    rows: list[Vector] = []
    labels: list[Floats] = []
    weights: list[Floats] = []
    for place, seen in enumerate(failures.seen):
        age_s = failures.age_s[place]
        first = first_ahead(age_s)
        at_risk, recovered = spread(unmerged(failures.by_history[place]), seen)
        label = np.add.reduceat(recovered, _STARTS)[first:]
        # Who recovers within a stretch was at risk at its beginning, however short it was watched in it.
        weight = np.maximum(np.maximum.reduceat(at_risk, _STARTS)[first:], label)
        taken = np.flatnonzero(weight > LEAST_WEIGHT)
        ahead = rows_ahead(failures.vectors[place], age_s, failures.now_s[place], failures.by_history[place])
        rows.append(ahead[taken])
        labels.append(label[taken] / weight[taken])
        weights.append(weight[taken])
    if not rows:
        return np.empty((0, len(COLUMNS)), np.float32), np.empty(0, np.float32), np.empty(0, np.float32)
    return (
        np.concatenate(rows),
        np.concatenate(labels).astype(np.float32),
        np.concatenate(weights).astype(np.float32),
    )


def _require_both(labels: Vector, what: str) -> None:
    if not 0 < labels.sum() < len(labels):
        raise NothingToLearnError(
            f"of {len(labels)} {what} {labels.sum():.0f} ended in success: there is nothing to tell apart; "
            "let more jobs fail and recover first"
        )
