"""Judges predictions of failure."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.intervals import interval
from benchmarks.learning.results import Curve, FailureScore, Interval
from core.learning import measures

Floats = NDArray[np.float64]
HIERARCHY = "hierarchical rate"
WITH_INTERVAL = frozenset({HIERARCHY, "XGBoost"})
BOOTSTRAPS = 200
POINTS = 200
"""Of a curve in a plot."""


def judge(
    failed: Floats,
    predictions: Mapping[str, Floats],
    slices: Mapping[str, NDArray[np.bool_]],
    tenants: NDArray[np.int64],
    rounds: int = BOOTSTRAPS,
) -> dict[str, FailureScore]:
    """Score every predictor, beside the hierarchical rate, which must be among them."""
    naive = predictions[HIERARCHY]
    return {
        name: _score(
            failed,
            p,
            slices,
            tenants,
            rounds if name in WITH_INTERVAL else 0,
            None if name == HIERARCHY else naive,
        )
        for name, p in predictions.items()
    }


def _score(
    failed: Floats,
    p: Floats,
    slices: Mapping[str, NDArray[np.bool_]],
    tenants: NDArray[np.int64],
    rounds: int,
    naive: Floats | None,
) -> FailureScore:
    def pr_auc(rows: NDArray[np.int64]) -> float:
        return measures.average_precision(failed[rows], p[rows])

    def gain(rows: NDArray[np.int64]) -> float:
        assert naive is not None
        return pr_auc(rows) - measures.average_precision(failed[rows], naive[rows])

    everything = np.arange(len(failed))
    recall, diverted = measures.recall_at_precision(failed, p, 0.9)
    return FailureScore(
        pr_auc=Interval(pr_auc(everything), *interval(tenants, pr_auc, rounds)),
        auc=measures.roc_auc(failed, p),
        log_loss=measures.log_loss(failed, p),
        ece=measures.calibration_error(failed, p),
        recall_at_90=recall,
        recall_at_80=measures.recall_at_precision(failed, p, 0.8)[0],
        diverted_good_per_1000=diverted,
        slices={name: pr_auc(np.flatnonzero(rows)) for name, rows in slices.items()},
        gain=None if naive is None else Interval(gain(everything), *interval(tenants, gain, rounds)),
    )


def curves(failed: Floats, predictions: Mapping[str, Floats]) -> dict[str, Curve]:
    """Give precision over recall of each predictor, and how probabilities compare with what happened."""
    found: dict[str, Curve] = {}
    for name, p in predictions.items():
        order = np.argsort(-p, kind="stable")
        hits = np.cumsum(failed[order])
        shown = np.unique(np.linspace(0, len(order) - 1, POINTS * 20).astype(int))
        shown = shown[:: max(1, len(shown) // POINTS)]
        shown = np.unique(np.r_[shown, np.searchsorted(hits, np.linspace(1, hits[-1], POINTS))])
        recall, precision = hits[shown] / hits[-1], hits[shown] / (shown + 1)
        found[f"precision {name}"] = Curve(recall.tolist(), precision.tolist())
        bins = measures.calibration(failed, p)
        found[f"calibration {name}"] = Curve([said for said, _, _ in bins], [true for _, true, _ in bins])
    return found
