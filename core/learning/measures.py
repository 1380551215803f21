"""Figures of merit, on arrays. None looks at time: which rows are judged is decided before."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
BINS = 15
"""Of calibration, as Guo et al. ("On calibration of modern neural networks", ICML 2017) draw it."""
LEAST_P = 1e-6
"""Probabilities are kept so far from 0 and 1 for the log loss: 13.8 is the most one job can cost."""


def average_precision(hit: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Give the area under precision over recall, ties taken together; NaN without hits."""
    order = np.argsort(-score, kind="stable")
    weights = np.ones(len(hit)) if weight is None else weight[order]
    hits = np.cumsum(hit[order] * weights)
    taken = np.cumsum(weights)
    last_of_tie = np.r_[np.diff(score[order]) != 0, True] & (taken > 0)
    hits, taken = hits[last_of_tie], taken[last_of_tie]
    if not len(hits) or hits[-1] <= 0:
        return float("nan")
    return float(np.sum(np.diff(np.r_[0.0, hits]) * hits / taken) / hits[-1])


def roc_auc(hit: Floats, score: Floats) -> float:
    """Give the chance that a hit is scored above a miss, ties half."""
    hits, misses = hit.sum(), (1 - hit).sum()
    if not hits or not misses:
        return float("nan")
    return float((ranks(score)[hit > 0].sum() - hits * (hits + 1) / 2) / (hits * misses))


class PrecisionPoint(NamedTuple):
    """Where a threshold on a score takes the most at a given precision."""

    threshold: float
    """What is scored so or above is taken."""
    taken: int
    hits: int
    """Of those taken."""
    recall: float
    """Share of all hits that is taken."""
    misses_per_1000: float
    """Misses taken of 1,000 misses."""

    @property
    def precision(self) -> float:
        """Share of hits among those taken."""
        return self.hits / self.taken


def precision_point(hit: Floats, score: Floats, precision: float) -> PrecisionPoint | None:
    """Give the lowest threshold that is that precise or more; None: no threshold is, or there are no hits."""
    order = np.argsort(-score, kind="stable")
    sorted_score = score[order]
    hits, taken = np.cumsum(hit[order]), np.arange(1, len(hit) + 1)
    # A threshold takes all of a tie; what has no score is never taken.
    is_whole = np.r_[np.diff(sorted_score) != 0, True][: len(hit)] & ~np.isnan(sorted_score)
    fine = (hits / taken >= precision) & is_whole
    if not fine.any() or not hits[-1]:
        return None
    best = int(np.flatnonzero(fine)[-1])
    good, misses = taken[best] - hits[best], len(hit) - hits[-1]
    return PrecisionPoint(
        threshold=float(sorted_score[best]),
        taken=int(taken[best]),
        hits=int(hits[best]),
        recall=float(hits[best] / hits[-1]),
        misses_per_1000=float(good / max(1.0, misses) * 1000),
    )


def recall_at_precision(hit: Floats, score: Floats, precision: float) -> tuple[float, float]:
    """Give the most that is found at that precision or above, and the misses taken per 1,000 misses."""
    point = precision_point(hit, score, precision)
    return (0.0, 0.0) if point is None else (point.recall, point.misses_per_1000)


def row_losses(hit: Floats, p: Floats) -> Floats:
    """Give the negative log likelihood of each row, natural."""
    kept = np.clip(p, LEAST_P, 1 - LEAST_P)
    found: Floats = -(hit * np.log(kept) + (1 - hit) * np.log(1 - kept))
    return found


def log_loss(hit: Floats, p: Floats) -> float:
    """Give the mean negative log likelihood, natural."""
    return float(np.mean(row_losses(hit, p)))


def calibration(hit: Floats, p: Floats) -> list[tuple[float, float, int]]:
    """Give (mean probability, share of hits, jobs) of each bin of equal width that holds any."""
    places = np.minimum((p * BINS).astype(int), BINS - 1)
    return [
        (float(p[places == bin_].mean()), float(hit[places == bin_].mean()), int((places == bin_).sum()))
        for bin_ in range(BINS)
        if (places == bin_).any()
    ]


def calibration_error(hit: Floats, p: Floats) -> float:
    """Give the expected calibration error: mean distance of the bins from the diagonal, by jobs."""
    return sum(abs(said - true) * jobs for said, true, jobs in calibration(hit, p)) / len(hit)


def ranks(values: Floats) -> Floats:
    """Give ranks from 1, ties their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: Floats = (ends - (counts - 1) / 2)[inverse]
    return found


def spearman(one: Floats, other: Floats) -> float:
    """Give the rank correlation; NaN where one of them is constant or there are fewer than three."""
    if len(one) < 3:
        return float("nan")
    a, b = ranks(one), ranks(other)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def order_of(truth: Floats, said: Floats) -> float:
    """Give the rank correlation; 0 where there is none: what is constant orders like dice."""
    found = spearman(truth, said)
    return 0.0 if np.isnan(found) else found


def within(log_true: Floats, log_said: Floats, factor: float) -> float:
    """Give the share of predictions that are off by no more than a factor."""
    return float(np.mean(np.abs(log_true - log_said) <= np.log(factor)))


def clusters_of(labels: NDArray[np.int64]) -> list[Places]:
    """Give the places of the rows of each label, labels rising."""
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order]) != 0) + 1
    return np.split(order, bounds)


def by_cluster(
    members: Sequence[Places], statistic: Callable[[Places], float], draws: Places, tail: float = 0.025
) -> tuple[float, float] | tuple[None, None]:
    """Give the interval of a statistic of rows, by drawing whole clusters with replacement.

    Jobs of one tenant are alike: drawing jobs would make intervals that are far too narrow (Cameron, Gelbach
    and Miller, 2008). ``statistic`` gets the places of the drawn rows.

    Parameters
    ----------
    members
        Places of the rows of each cluster.
    draws
        (n_rounds, n_clusters), the caller's dice: in each round, which clusters are drawn. No rounds give no
        interval, nor do rounds of which none gives a number.
    tail
        Share of the draws that lies below the interval, and as much above: .025 makes one of 95 %.
    """
    found = [statistic(np.concatenate([members[one] for one in drawn])) for drawn in draws]
    if np.isnan(found).all():
        return None, None
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return float(low), float(high)
