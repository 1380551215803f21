"""Training on rows in order of time: what was known at a cut, and nothing else."""

from dataclasses import dataclass
from typing import NamedTuple, assert_never

import xgboost as xgb

from adapters.learned.heads import Head, Heads, Hedge
from adapters.learned.rows import Known, Rows, known_at
from core.learning.features import COLUMN
from ports.models import Column, Vectors
from ports.training import Kind

HIGH_QUANTILE = 0.9
MAX_BINS = 64
"""Histogram bins: no worse than 128 on the validation days, and faster."""

Params = dict[str, float | int | str]
COMMON: Params = {
    "tree_method": "hist",
    "max_bin": MAX_BINS,
    "subsample": 0.8,
    "colsample_bytree": 0.4,
    "reg_lambda": 5.0,
    "nthread": 1,
    "verbosity": 0,
}
MAX_STEP = 4.0
"""A leaf moves log run time by no more than this, times ``eta``. Far from the mean the loss is nearly
straight, so a Newton step goes far beyond where it is least: thousands of jobs that ran thirty times as long
as the running mean says were predicted sixty powers of e off."""
_RUN: Params = {"objective": "reg:pseudohubererror", "max_delta_step": MAX_STEP}
_FAILED: Params = {"objective": "binary:logistic"}
RUN: tuple[Params, ...] = (
    _RUN | {"huber_slope": 0.3, "eta": 0.1, "max_depth": 9, "min_child_weight": 5, "colsample_bytree": 0.3},
    _RUN | {"huber_slope": 0.5, "eta": 0.1, "max_depth": 6, "min_child_weight": 1, "colsample_bytree": 0.3},
)
"""Two heads that err apart. Residuals of log run time beyond the slope count linearly: a third off is noise,
ten times off one mistake. Where the loss is straight its Hessian is next to nothing, so only the second
learns of small groups that are far from the running mean."""
_DEEP = _FAILED | {
    "eta": 0.08,
    "max_depth": 7,
    "min_child_weight": 3,
    "colsample_bytree": 1.0,
    "colsample_bynode": 0.08,
}
_SHALLOW = _FAILED | {"eta": 0.165, "max_depth": 3, "min_child_weight": 30, "colsample_bytree": 0.3}
FAILED: tuple[Params, ...] = (_DEEP, _DEEP, _SHALLOW, _SHALLOW)
"""Heads that err apart: deep trees that see few columns at each split, and shallow ones, two of each by other
draws. The classes are not weighted, so probabilities need no calibration."""
HEDGE = Hedge(recent=0.1, ever=0.1)
"""Chosen with the heads on three stretches of recorded days: the log loss fell on each, and where a type had
just been cancelled they are above the plain rate on each."""
RUN_HIGH: Params = {
    "objective": "reg:quantileerror",
    "quantile_alpha": HIGH_QUANTILE,
    "eta": 0.1,
    "max_depth": 5,
    "min_child_weight": 20,
}
_TREE: Params = {
    "eta": 1.0,
    "max_depth": 6,
    "min_child_weight": 20,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "reg_lambda": 1.0,
}


class NothingToLearnError(ValueError):
    """There are too few ends, or ends of one kind only."""


class Outputs(NamedTuple):
    """How the heads of each output are trained."""

    run: tuple[Params, ...]
    failed: tuple[Params, ...]
    hedge: Hedge = HEDGE


BOOSTED = Outputs(RUN, FAILED)
# Leaves are means, of log run time and of outcomes: one Newton step of the losses above would end far beyond
# where they are least.
ONE_TREE = Outputs(
    run=(_TREE | {"objective": "reg:squarederror"},), failed=(_TREE | {"objective": "reg:squarederror"},)
)


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
    failed_rounds: tuple[int, ...] = (90, 90, 180, 180)
    run_high_rounds: int = 0
    seed: int = 1
    outputs: Outputs = BOOSTED


def recipe_for(kind: Kind, limit_ms: int, seed: int = 1) -> Recipe:
    """Give what is shipped for a kind of model."""
    match kind:
        case Kind.BOOSTED:
            return Recipe(limit_ms, seed=seed)
        case Kind.TREE:
            return Recipe(limit_ms, run_rounds=(1,), failed_rounds=(1,), seed=seed, outputs=ONE_TREE)
        case _:
            assert_never(kind)


def train(rows: Rows, cut_ms: int, recipe: Recipe, begin_ms: int = 0) -> Heads:
    """Train all heads on what was known at ``cut_ms``.

    Raises
    ------
    NothingToLearnError
        Nothing had ended by then, or nothing had failed or succeeded.
    """
    runs, ends = known_at(rows, cut_ms, begin_ms, limit_ms=recipe.limit_ms)
    if not 0 < ends.failed.sum() < len(ends.failed):
        raise NothingToLearnError(
            f"of {len(ends.failed)} dispatches that ended before the cut {ends.failed.sum():.0f} failed: "
            "there is nothing to tell apart; let more jobs run first"
        )
    run_data = _matrix(rows.vectors, runs, runs.log_run, is_residual=True)
    run = _all_trained(run_data, recipe.outputs.run, recipe.run_rounds, recipe.seed)
    run_high = None
    if recipe.run_high_rounds:
        run_high = _train(run_data, RUN_HIGH, recipe.run_high_rounds, recipe.seed)
    del run_data
    failed_data = _matrix(rows.vectors, ends, ends.failed, is_residual=False)
    failed = _all_trained(failed_data, recipe.outputs.failed, recipe.failed_rounds, recipe.seed)
    return Heads(run, failed, run_high, recipe.outputs.hedge)


def _matrix(vectors: Vectors, known: Known, label: Column, *, is_residual: bool) -> xgb.QuantileDMatrix:
    """Bin the rows once for all heads of an output."""
    first, last = known.rows[0], known.rows[-1]
    # Rows in one piece are taken as they are: a copy is as large again.
    x = vectors[first : last + 1] if last - first + 1 == len(known.rows) else vectors[known.rows]
    margin = x[:, COLUMN["expected_run"]] if is_residual else None
    return xgb.QuantileDMatrix(x, label=label, base_margin=margin, max_bin=MAX_BINS, nthread=1)


def _all_trained(
    data: xgb.QuantileDMatrix, heads: tuple[Params, ...], rounds: tuple[int, ...], seed: int
) -> tuple[Head, ...]:
    """Train the heads of an output; those that are alike by other draws."""
    return tuple(
        _train(data, params, count, seed + heads[:place].count(params))
        for place, (params, count) in enumerate(zip(heads, rounds, strict=True))
    )


def _train(data: xgb.QuantileDMatrix, params: Params, rounds: int, seed: int) -> Head:
    booster = xgb.train({**COMMON, **params, "seed": seed}, data, num_boost_round=rounds)
    return Head(bytes(booster.save_raw("ubj")), rounds)
