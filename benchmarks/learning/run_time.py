"""Judges predictions of run time, on the logarithm of milliseconds."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.intervals import interval
from benchmarks.learning.results import Interval, RunScore, WorstCase
from core.learning import measures

Floats = NDArray[np.float64]
WITH_INTERVAL = frozenset({"EWMA", "XGBoost residual"})
WORST = 12
"""Cases that are shown."""


def judge(
    log_run: Floats,
    predictions: Mapping[str, Floats],
    slices: Mapping[str, NDArray[np.bool_]],
    tenants: NDArray[np.int64],
    rounds: int,
) -> dict[str, RunScore]:
    """Score every predictor."""
    return {
        name: RunScore(
            spearman=Interval(
                measures.spearman(log_run, said),
                *interval(
                    tenants,
                    partial(_spearman, log_run, said),
                    rounds if name in WITH_INTERVAL else 0,
                ),
            ),
            within_2x=measures.within(log_run, said, 2.0),
            mae_log=float(np.mean(np.abs(log_run - said))),
            cold_spearman=measures.spearman(log_run[slices["cold type"]], said[slices["cold type"]]),
            slices={name: measures.spearman(log_run[rows], said[rows]) for name, rows in slices.items()},
        )
        for name, said in predictions.items()
    }


def _spearman(log_run: Floats, said: Floats, rows: NDArray[np.int64]) -> float:
    return measures.spearman(log_run[rows], said[rows])


def worst(
    log_run: Floats, said: Floats, tenants: NDArray[np.int64], types: NDArray[np.int64]
) -> list[WorstCase]:
    """Give the types whose predictions were off most in sum, one case each: its largest."""
    off = np.abs(log_run - said)
    pairs, inverse = np.unique(np.stack([tenants, types]), axis=1, return_inverse=True)
    total = np.bincount(inverse.ravel(), weights=off, minlength=pairs.shape[1])
    found: list[WorstCase] = []
    for pair in np.argsort(-total)[:WORST]:
        rows = np.flatnonzero(inverse.ravel() == pair)
        row = rows[np.argmax(off[rows])]
        case = WorstCase(int(tenants[row]), int(types[row]), _seconds(said[row]), _seconds(log_run[row]))
        found.append(case)
    return found


def _seconds(log_ms: float) -> float:
    return round(float(np.expm1(log_ms)) / 1000, 1)
