"""Training on rows in order of time: what was known at a cut, and nothing else."""

from dataclasses import dataclass

import xgboost as xgb

from adapters.learned.heads import Head, Heads
from adapters.learned.rows import Known, Rows, known_at
from core.learning.features import COLUMN
from ports.models import Vectors

HIGH_QUANTILE = 0.9
MAX_BINS = 64
"""Histogram bins: no worse than 128 on the validation days, and faster."""

Params = dict[str, float | int | str]
_RUN, _FAILURE = "reg:pseudohubererror", "binary:logistic"
COMMON: Params = {
    "tree_method": "hist",
    "max_bin": MAX_BINS,
    "subsample": 0.8,
    "colsample_bytree": 0.4,
    "reg_lambda": 5.0,
    "nthread": 1,
    "verbosity": 0,
}
RUN: tuple[Params, ...] = (
    {"huber_slope": 0.3, "eta": 0.1, "max_depth": 9, "min_child_weight": 5, "colsample_bytree": 0.3},
    {"huber_slope": 0.5, "eta": 0.1, "max_depth": 6, "min_child_weight": 1, "colsample_bytree": 0.3},
)
"""Two heads that err apart. Residuals of log run time beyond the slope count linearly: a third off is noise,
ten times off one mistake."""
FAILED: tuple[Params, ...] = (
    {"eta": 0.06, "max_depth": 7, "min_child_weight": 3, "colsample_bytree": 1.0, "colsample_bynode": 0.08},
    {"eta": 0.12, "max_depth": 3, "min_child_weight": 30, "colsample_bytree": 0.3},
)
"""Two heads that err apart: deep trees that see few columns at each split, and shallow ones. The classes are
not weighted, so probabilities need no calibration."""
RUN_HIGH: Params = {
    "objective": "reg:quantileerror",
    "quantile_alpha": HIGH_QUANTILE,
    "eta": 0.1,
    "max_depth": 5,
    "min_child_weight": 20,
}


@dataclass(frozen=True)
class Recipe:
    """How much is trained, and from what.

    Attributes
    ----------
    limit_ms
        A run is cut off here: the label of what ran longer is this.
    run_rounds, failed_rounds, run_high_rounds
        Trees of each head; 0 leaves ``run_high`` out.
    """

    limit_ms: int
    run_rounds: tuple[int, ...] = (150, 150)
    failed_rounds: tuple[int, ...] = (120, 250)
    run_high_rounds: int = 0
    seed: int = 1


def train(rows: Rows, cut_ms: int, recipe: Recipe, begin_ms: int = 0) -> Heads:
    """Train all heads on what was known at ``cut_ms``.

    Raises
    ------
    ValueError
        Nothing had ended by then, or nothing had failed or succeeded: there is nothing to learn.
    """
    runs, ends = known_at(rows, cut_ms, begin_ms, limit_ms=recipe.limit_ms)
    if not 0 < ends.failed.sum() < len(ends.failed):
        raise ValueError(
            f"of {len(ends.failed)} dispatches that ended before the cut {ends.failed.sum():.0f} failed: "
            "there is nothing to tell apart; let more jobs run first"
        )
    return Heads(
        run=tuple(
            _train(rows.vectors, runs, {"objective": _RUN, **params}, rounds, recipe.seed)
            for params, rounds in zip(RUN, recipe.run_rounds, strict=True)
        ),
        failed=tuple(
            _train(rows.vectors, ends, {"objective": _FAILURE, **params}, rounds, recipe.seed)
            for params, rounds in zip(FAILED, recipe.failed_rounds, strict=True)
        ),
        run_high=_train(rows.vectors, runs, RUN_HIGH, recipe.run_high_rounds, recipe.seed)
        if recipe.run_high_rounds
        else None,
    )


def _train(vectors: Vectors, known: Known, params: Params, rounds: int, seed: int) -> Head:
    x = vectors[known.rows]
    is_failure = params["objective"] == _FAILURE
    data = xgb.QuantileDMatrix(
        x,
        label=known.failed if is_failure else known.log_run,
        base_margin=None if is_failure else x[:, COLUMN["expected_run"]],
        max_bin=MAX_BINS,
        nthread=1,
    )
    booster = xgb.train({**COMMON, **params, "seed": seed}, data, num_boost_round=rounds)
    return Head(bytes(booster.save_raw("ubj")), rounds)
