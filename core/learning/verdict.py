"""Champion or challenger: what is judged on the newest decisions, which neither was trained on.

Not worse, within an interval that draws whole tenants, and in no slice worse than a running rate: a new model
brings what changed since the last, so it need not be better; it must not be worse anywhere that shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.learning.events import Status
from core.learning.features import COLUMN
from core.learning.measures import (
    Floats,
    Places,
    PrecisionPoint,
    average_precision,
    by_cluster,
    calibration_error,
    clusters_of,
    log_loss,
    order_of,
    precision_point,
    row_losses,
    within,
)

CHALLENGER, CHAMPION, PLAIN = "challenger", "champion", "ewma"
LEAST_ENDS = 300
LEAST_FAILURES = 15
"""Fewer ends, or fewer failures or successes among them, than this in the newest slice are no evidence."""
LEAST_OF_SLICE = 30
"""Slices with fewer ends are not judged apart."""
SLICE_TAIL = 0.1
"""A slice is worse when nine draws of ten say so. Sooner than all in all, because somebody's jobs are there;
no sooner, because of four slices of a model as good as the rate one would look worse every other day."""
LEAST_CLUSTERS = 10
"""Of fewer tenants, intervals would be too narrow; then stretches of time are drawn instead."""
STRETCHES = 20
ROUNDS = 200
"""Rounds of a bootstrap."""
LOSS_MARGIN = 0.05
"""Share by which the log loss may be above another's, where the interval is too wide to tell..."""
ORDER_MARGIN = 0.02
"""...and how far the rank correlation may be below."""
POINT_PRECISION = 0.9
"""Share that failed of what a model puts above its point: there jobs may be diverted before they run."""
POINT_LEAST = 50
"""Fewer ends above a point are no evidence that it is one."""


@dataclass(frozen=True)
class Slice:
    """Ended dispatches that are judged on; all arrays (n_rows,), in order of decision.

    Attributes
    ----------
    failed
        1 where it failed.
    log_run
        Natural log of 1 + run time in ms.
    tenants
        Equal numbers are of one tenant.
    slices
        Rows that are judged apart, by name.
    """

    failed: Floats
    log_run: Floats
    tenants: Places
    slices: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.failed)


class Said(NamedTuple):
    """What a model said of the rows of a slice, (n_rows,) each."""

    log_run: Floats
    failed: Floats


class Clusters(NamedTuple):
    """What a bootstrap draws."""

    members: list[Places]
    words: str


@dataclass(frozen=True)
class Verdict:
    """What is to become of a challenger.

    Attributes
    ----------
    promote
        Whether it may order jobs.
    is_thin
        There is too little evidence to say anything.
    words
        Why, for people.
    measures
        By model, then by measure: what a manifest shows.
    point
        From which predicted probability on failures are nearly certain; None: there is no such, or too
        little evidence of it.
    """

    promote: bool
    is_thin: bool
    words: str
    measures: Mapping[str, Mapping[str, float]]
    point: PrecisionPoint | None = None


def slices_of(vectors: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """Give the slices that are judged apart, by how the tenant's type last ended; cold: it never did."""
    last = vectors[:, COLUMN["tenant_type.last_status"]]
    return {
        "after FAIL": last == Status.FAILED,
        "after OK": last == Status.OK,
        "after KILL": last == Status.CANCELLED,
        "cold type": np.isnan(last),
    }


def clusters_for(tenants: Places) -> Clusters:
    """Give what a bootstrap over these rows draws: tenants, or stretches of time where they are few."""
    members = clusters_of(tenants)
    if len(members) >= LEAST_CLUSTERS:
        return Clusters(members, f"{len(members)} tenants")
    stretches = np.array_split(np.arange(len(tenants)), min(STRETCHES, max(1, len(tenants))))
    return Clusters(stretches, f"{len(stretches)} stretches of time, for there are {len(members)} tenants")


def measured(on: Slice, said: Said) -> dict[str, float]:
    """Measure one model."""
    return {
        "failed_logloss": log_loss(on.failed, said.failed),
        "failed_ece": calibration_error(on.failed, said.failed),
        "failed_pr_auc": average_precision(on.failed, said.failed),
        "run_spearman": order_of(on.log_run, said.log_run),
        "run_within_2x": within(on.log_run, said.log_run, 2.0),
    }


def judge(on: Slice, challenger: Said, others: Mapping[str, Said], draws: Places) -> Verdict:
    """Say whether a challenger may order jobs.

    Parameters
    ----------
    others
        What it must not be worse than, by name; ``PLAIN`` is among them.
    draws
        (n_rounds, n_clusters) of ``clusters_for(on.tenants)``: see ``measures.by_cluster``.
    """
    strange = int((~np.isfinite(challenger.failed) | ~np.isfinite(challenger.log_run)).sum())
    if strange:
        # They would not be worse than anything.
        words = f"not to be promoted: {strange} of {len(on)} predictions are no numbers"
        return Verdict(promote=False, is_thin=False, words=words, measures={CHALLENGER: {}})
    found = {CHALLENGER: challenger, **others}
    failures = int(on.failed.sum())
    thin = too_thin(len(on), failures)
    table = {name: measured(on, said) for name, said in found.items()} if len(on) else {}
    if thin:
        return Verdict(promote=False, is_thin=True, words=f"no verdict: {thin}", measures=table)
    clusters = clusters_for(on.tenants)
    worse: list[str] = []
    for name, other in others.items():
        worse += _worse(on, clusters.members, challenger, name, other, draws)
    apart = _apart(on, clusters.members, challenger, others[PLAIN], draws)
    worse += apart.worse
    basis = f"on {len(on)} ends ({failures} failed), drawn by {clusters.words}"
    compared = "; ".join(_compared(name, table) for name in others)
    verdict = f"not to be promoted: {'; '.join(worse)}" if worse else "may be promoted: not worse than any"
    words = f"{verdict}. {compared}; worst slice {apart.worst}; {basis}"
    point = failing_point(on, challenger)
    return Verdict(promote=not worse, is_thin=False, words=words, measures=table, point=point)


def failing_point(on: Slice, said: Said) -> PrecisionPoint | None:
    """Give the lowest probability above which at least ``POINT_PRECISION`` failed; None: too few did."""
    point = precision_point(on.failed, said.failed, POINT_PRECISION)
    return None if point is None or point.taken < POINT_LEAST else point


def too_thin(ends: int, failures: int) -> str:
    """Say what is missing to judge by so many ends; empty when nothing is."""
    if ends < LEAST_ENDS:
        return f"{ends} ends in the newest slice, {LEAST_ENDS} are needed"
    if failures < LEAST_FAILURES:
        return f"{failures} of {ends} ends in the newest slice are failures, {LEAST_FAILURES} are needed"
    if (fine := ends - failures) < LEAST_FAILURES:
        return f"{fine} of {ends} ends in the newest slice are no failures, {LEAST_FAILURES} are needed"
    return ""


class _Apart(NamedTuple):
    """Slices against the running rate."""

    worse: list[str]
    worst: str


def _worse(on: Slice, members: list[Places], mine: Said, name: str, other: Said, draws: Places) -> list[str]:
    """Give in what the challenger is worse than another model."""
    found: list[str] = []
    losses = row_losses(on.failed, mine.failed) - row_losses(on.failed, other.failed)
    more, bound = float(losses.mean()), by_cluster(members, partial(_mean, losses), draws)
    if _is_above(bound[0], 0.0) or more > LOSS_MARGIN * log_loss(on.failed, other.failed):
        found.append(f"log loss {more:+.4f} {_interval(bound)} against {name}")

    def order(rows: Places) -> float:
        truth = on.log_run[rows]
        return order_of(truth, mine.log_run[rows]) - order_of(truth, other.log_run[rows])

    less, bound = order(np.arange(len(on))), by_cluster(members, order, draws)
    if _is_above(0.0, bound[1]) or less < -ORDER_MARGIN:
        found.append(f"run time order {less:+.3f} {_interval(bound)} against {name}")
    return found


def _apart(on: Slice, members: list[Places], mine: Said, rate: Said, draws: Places) -> _Apart:
    """Compare slice by slice with the running rate, by log loss."""
    worse: list[str] = []
    worst, worst_words = -np.inf, "none is large enough"
    losses = row_losses(on.failed, mine.failed) - row_losses(on.failed, rate.failed)
    for name, where in on.slices.items():
        if where.sum() < LEAST_OF_SLICE:
            continue
        apart = np.where(where, losses, np.nan)
        more = float(losses[where].mean())
        bound = by_cluster(members, partial(_mean, apart), draws, SLICE_TAIL)
        words = f"{name} {more:+.4f} {_interval(bound)} against the running rate"
        if more > worst:
            worst, worst_words = more, words
        if _is_above(bound[0], 0.0):
            worse.append(f"slice {words}")
    return _Apart(worse, worst_words)


def _mean(values: Floats, rows: Places) -> float:
    """Give the mean of what is there."""
    drawn = values[rows]
    there = drawn[~np.isnan(drawn)]
    return float(there.mean()) if len(there) else float("nan")


def _is_above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _interval(bound: tuple[float, float] | tuple[None, None]) -> str:
    return "" if bound[0] is None or bound[1] is None else f"[{bound[0]:+.4f}, {bound[1]:+.4f}]"


def _compared(name: str, table: Mapping[str, Mapping[str, float]]) -> str:
    mine, other = table[CHALLENGER], table[name]
    return (
        f"log loss {mine['failed_logloss']:.4f} (of {name} {other['failed_logloss']:.4f}), "
        f"rank correlation of run times {mine['run_spearman']:.3f} ({other['run_spearman']:.3f})"
    )
