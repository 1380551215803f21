"""Whether a model still fits what jobs have become, by what it said of jobs before they ended.

Three signs, each with a guard against false alarms: columns that moved (population stability index), by more
than they do anyway; probabilities that are off, beyond chance and by more than the running rate's; an order
of run times below the running mean's.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.learning.features import FEATURES
from core.learning.measures import Floats, calibration_error, order_of
from core.learning.verdict import Said

LIVE_ENDS = 2_000
"""Newest ends that are looked at; fewer say nothing."""
TOP = 20
"""Columns with most gain that are compared."""
PSI_MOST = 0.2
"""Mean index of those above which a population counts as another one..."""
PSI_OF_USUAL = 2.0
"""...when it is this many times what neighbouring stretches of the training window differ by, too."""
ECE_MOST = 0.01
"""Calibration error that is allowed beyond the running rate's, and beyond what chance makes of a true one."""
CHANCE = 99.0
"""Percentile of that chance."""
ORDER_LESS = 0.02
"""How far the rank correlation of run times may be below the running mean's."""
ECE_ROUNDS = 100
PSI_BINS = 10

_GROWING = (".ends", ".age")
_CLOCK = frozenset({"hour", "weekday"})
"""These move with time itself, whatever jobs do."""

Columns = NDArray[np.float32]


class Moved(NamedTuple):
    """How far the columns with most gain have moved."""

    psi: float
    """Mean over the columns."""
    usual: float
    """The same between the newest stretch of the training window and the rest of it."""
    most: str
    """The column that moved most."""


class Drift(NamedTuple):
    """What was found."""

    drifted: bool
    words: str
    measures: Mapping[str, float]


def top_columns(gains: Floats) -> list[int]:
    """Give the places of the columns to compare, most gain first: without those that move with time itself.

    Parameters
    ----------
    gains
        (n_features,): what each column brought to a model's trees.
    """
    compared = [
        place
        for place in np.argsort(-gains, kind="stable").tolist()
        if gains[place] > 0 and not _moves_with_time(FEATURES[place].name)
    ]
    return compared[:TOP]


def _moves_with_time(name: str) -> bool:
    return name in _CLOCK or name.endswith(_GROWING)


def psi(before: Floats, now: Floats) -> float:
    """Give the population stability index of one column, on deciles of what it was; missing is a bin too."""
    known = before[~np.isnan(before)]
    edges = (
        np.unique(np.quantile(known, np.linspace(0, 1, PSI_BINS + 1)[1:-1])) if len(known) else np.empty(0)
    )
    was, is_ = _shares(before, edges), _shares(now, edges)
    return float(np.sum((is_ - was) * np.log(is_ / was)))


def _shares(values: Floats, edges: Floats) -> Floats:
    places = np.searchsorted(edges, values, side="left")
    places[np.isnan(values)] = len(edges) + 1
    counts = np.bincount(places, minlength=len(edges) + 2)
    # Half a row more in each bin: what was never seen is rare, not impossible.
    return np.asarray((counts + 0.5) / (len(values) + 0.5 * len(counts)), dtype=np.float64)


def moved(trained: Columns, newest: Columns, columns: Sequence[int]) -> Moved | None:
    """Compare the training window with the newest one, (n_rows, n_features) each, in order of time.

    None: there are too few rows, or no columns, to say anything.
    """
    stretch = min(len(newest), len(trained) // 2)
    if min(len(newest), stretch) < LIVE_ENDS or not columns:
        return None
    found = [_psi_of(trained, newest, column) for column in columns]
    usual = [_psi_of(trained[:-stretch], trained[-stretch:], column) for column in columns]
    most = columns[int(np.argmax(found))]
    return Moved(float(np.mean(found)), float(np.mean(usual)), FEATURES[most].name)


def _psi_of(before: Columns, now: Columns, column: int) -> float:
    return psi(before[:, column].astype(np.float64), now[:, column].astype(np.float64))


def drift(
    failed: Floats, log_run: Floats, said: Said, plain: Said, draws: Floats, columns: Moved | None = None
) -> Drift:
    """Say whether a model has drifted.

    Parameters
    ----------
    failed, log_run
        What became of the newest dispatches that ended, (n_rows,).
    said
        What the model said of them when they were scored.
    plain
        What the running mean and rate said.
    draws
        (n_rounds, n_rows), uniform in [0, 1): the caller's dice.
    columns
        See ``moved``.
    """
    measures: dict[str, float] = {"live_ends": float(len(failed))}
    signs: list[str] = []
    if columns is not None:
        measures |= {"psi": columns.psi, "psi_usual": columns.usual}
        if columns.psi > PSI_MOST and columns.psi > PSI_OF_USUAL * columns.usual:
            signs.append(
                f"columns moved: mean PSI {columns.psi:.2f}, above {PSI_MOST:g} and {PSI_OF_USUAL:g} times "
                f"the usual {columns.usual:.2f}, most in {columns.most}"
            )
    if len(failed) >= LIVE_ENDS:
        live, found = _live(failed, log_run, said, plain, draws)
        measures |= live
        signs += found
    elif columns is None:
        words = f"no verdict: {len(failed)} ends were predicted by it, {LIVE_ENDS} are needed"
        return Drift(drifted=False, words=words, measures=measures)
    if signs:
        return Drift(drifted=True, words="drifted: " + "; ".join(signs), measures=measures)
    return Drift(drifted=False, words="no drift", measures=measures)


def _live(
    failed: Floats, log_run: Floats, said: Said, plain: Said, draws: Floats
) -> tuple[dict[str, float], list[str]]:
    ece, plain_ece = calibration_error(failed, said.failed), calibration_error(failed, plain.failed)
    by_chance = [calibration_error((drawn < said.failed).astype(np.float64), said.failed) for drawn in draws]
    chance = float(np.percentile(by_chance, CHANCE)) if by_chance else 0.0
    order, plain_order = order_of(log_run, said.log_run), order_of(log_run, plain.log_run)
    signs: list[str] = []
    if ece > max(chance, plain_ece) + ECE_MOST:
        signs.append(
            f"probabilities of failing are off: ECE {ece:.4f} over {len(failed)} ends, more than "
            f"{ECE_MOST:g} above chance ({chance:.4f}) and the running rate's ({plain_ece:.4f})"
        )
    if order < plain_order - ORDER_LESS:
        signs.append(
            f"order of run times: rank correlation {order:.3f} over {len(failed)} ends, "
            f"the running mean's is {plain_order:.3f}"
        )
    measures = {
        "live_ece": ece,
        "live_ece_ewma": plain_ece,
        "live_ece_chance": chance,
        "live_spearman": order,
        "live_spearman_ewma": plain_order,
    }
    return measures, signs
