"""From logged decisions to a model with its verdict, the champion's drift, and what pools cost."""

import time
from typing import NamedTuple

import numpy as np

from adapters.learned.boosted import BoostedModel, gains_of
from adapters.learned.heads import Heads, pack, unpack
from adapters.learned.logged import Logged
from adapters.learned.made import Made, Say, Trained, finite, found_with, made_of
from adapters.learned.plain import EwmaModel
from adapters.learned.probe import probe_vectors
from adapters.learned.rows import NOT_ENDED, Rows
from adapters.learned.training import NothingToLearnError, recipe_for, train
from core.learning.drift import ECE_ROUNDS, LIVE_ENDS, Moved, drift, moved, top_columns
from core.learning.measures import Floats, Places, PrecisionPoint
from core.learning.spread import FITTED_MIN, STANDARD, fitted, has_moved
from core.learning.verdict import (
    CHALLENGER,
    CHAMPION,
    PLAIN,
    ROUNDS,
    Said,
    Slice,
    Verdict,
    clusters_for,
    judge,
    slices_of,
)
from ports.models import Model, Vectors
from ports.training import DriftFound, Found, Order
from schemas.models import FailingPoint, ModelManifest, PoolLaw

JUDGED_SHARE = 0.2
"""Share of the newest ends that a model is judged on, and not trained on..."""
JUDGED_MAX = 20_000
"""...at most so many: intervals of more are no narrower, and take minutes."""
SPREAD_OF = 50_000
"""Newest ends of a pool of which the range of its costs is fitted."""
LIMIT_MS = 7 * 86_400_000
"""Longest run that is told apart from longer ones."""
SEED = 1


class Window(NamedTuple):
    """What is trained on, [begin, cut), and what is judged: rows decided from the cut on that have ended."""

    begin_ms: int
    cut_ms: int
    judged: Places


def carried_out(
    order: Order, champion: bytes, logged: Logged, waits_for: str, say: Say
) -> tuple[Found, bytes]:
    """Carry out an order; give what was found, and the bytes of the model.

    Parameters
    ----------
    waits_for
        Why there is nothing to train; empty: there is.
    """
    heads = None if order.champion is None or waits_for or not champion else unpack(champion)
    found = Found(
        ends=int(logged.has_ended.sum()),
        failures=int(logged.has_failed.sum()),
        drift=drifted(order, heads, logged),
        laws=moved_laws(order, logged),
        waits_for=waits_for,
    )
    return found_with(found, lambda: made(order, heads, logged, say))


def window_of(logged: Logged) -> Window:
    """Cut off the newest ends.

    Raises
    ------
    NothingToLearnError
        There are none.
    """
    ended = np.flatnonzero(logged.has_ended)
    if len(ended) < 2:
        raise NothingToLearnError(
            f"{len(ended)} jobs have ended that were scored by these features: nothing to learn from"
        )
    count = min(JUDGED_MAX, max(1, round(JUDGED_SHARE * len(ended))))
    decided_ms = logged.rows.decided_ms
    cut_ms = int(decided_ms[ended[-count]])
    judged = ended[decided_ms[ended] >= cut_ms]
    return Window(int(decided_ms[0]), cut_ms, judged)


def made(order: Order, champion: Heads | None, logged: Logged, say: Say) -> Made:
    """Train on all but the newest slice, and judge on that.

    Raises
    ------
    NothingToLearnError
        There is nothing to learn from.
    """
    window = window_of(logged)
    began_s = time.monotonic()
    heads = train(
        logged.rows,
        window.cut_ms,
        recipe_for(order.kind, _limit_ms(logged.rows, window.cut_ms), SEED),
        window.begin_ms,
    )
    trained = int((logged.rows.decided_ms < window.cut_ms).sum())
    say(f"trained on {trained} of {len(logged)} decisions in {time.monotonic() - began_s:.0f} s")
    data = pack(heads)
    model = BoostedModel(CHALLENGER, heads)
    verdict = judged(logged, window.judged, model, champion)
    say(verdict.words)
    probe = model.predict(probe_vectors())
    return made_of(
        order,
        data,
        Trained(
            kind=order.kind.value,
            begin_ms=window.begin_ms,
            cut_ms=window.cut_ms,
            rows=trained,
            challenger=CHALLENGER,
            measures=verdict.measures,
            judged=verdict.words,
            probe=(tuple(probe.log_run.astype(float).tolist()), tuple(probe.failed.astype(float).tolist())),
            failing=_failing(verdict.point),
        ),
    )


def _failing(point: PrecisionPoint | None) -> FailingPoint | None:
    if point is None:
        return None
    return FailingPoint(point.threshold, point.precision, point.recall, point.misses_per_1000, point.taken)


def _limit_ms(rows: Rows, cut_ms: int) -> int:
    """Give the longest run that had ended by the cut: what still ran counts as no longer."""
    ended = (rows.ended_ms != NOT_ENDED) & (rows.ended_ms < cut_ms)
    return int(min(LIMIT_MS, rows.run_ms[ended].max(initial=1)))


def judged(logged: Logged, places: Places, challenger: Model, champion: Heads | None) -> Verdict:
    """Judge a model on rows that have ended, beside the champion and the running mean."""
    vectors = logged.rows.vectors[places]
    on = slice_of(logged, places, vectors)
    others = {PLAIN: _said(EwmaModel(), vectors)}
    if champion is not None:
        others[CHAMPION] = _said(BoostedModel(CHAMPION, champion), vectors)
    count = len(clusters_for(on.tenants).members)
    draws = np.random.default_rng(SEED).integers(0, count, (ROUNDS, count))
    return judge(on, _said(challenger, vectors), others, draws)


def slice_of(logged: Logged, places: Places, vectors: Vectors) -> Slice:
    """Give what became of some rows."""
    return Slice(
        failed=logged.has_failed[places].astype(np.float64),
        log_run=_log_run(logged.rows, places),
        tenants=logged.tenants[places],
        slices=slices_of(vectors),
    )


def _log_run(rows: Rows, places: Places) -> Floats:
    return np.log1p(rows.run_ms[places].astype(np.float64))


def _said(model: Model, vectors: Vectors) -> Said:
    said = model.predict(vectors)
    return Said(said.log_run.astype(np.float64), said.failed.astype(np.float64))


def drifted(order: Order, champion: Heads | None, logged: Logged) -> DriftFound | None:
    """Look whether the champion still fits the newest rows; its trees say which columns matter."""
    if order.champion is None:
        return None
    asked = np.flatnonzero(logged.has_ended & ~np.isnan(logged.log_run) & ~np.isnan(logged.failed))
    # In order of their ends: what was decided long ago may have ended last.
    newest = asked[np.argsort(logged.rows.ended_ms[asked], kind="stable")[-LIVE_ENDS:]]
    vectors = logged.rows.vectors[newest]
    found = drift(
        logged.has_failed[newest].astype(np.float64),
        _log_run(logged.rows, newest),
        Said(logged.log_run[newest], logged.failed[newest]),
        _said(EwmaModel(), vectors),
        np.random.default_rng(SEED).random((ECE_ROUNDS, len(newest))),
        None if champion is None else _columns_moved(order.champion, champion, logged),
    )
    return DriftFound(found.drifted, found.words, finite(found.measures))


def _columns_moved(manifest: ModelManifest, champion: Heads, logged: Logged) -> Moved | None:
    decided_ms = logged.rows.decided_ms
    trained = np.flatnonzero((decided_ms >= manifest.begin_ms) & (decided_ms < manifest.cut_ms))
    newest = np.flatnonzero(decided_ms >= manifest.created_ms)
    if not len(trained) or not len(newest):
        return None
    # Both are in one piece: rows are in order of decision.
    before, now = (logged.rows.vectors[part[0] : part[-1] + 1] for part in (trained, newest))
    return moved(before, now, top_columns(gains_of(champion)))


def moved_laws(order: Order, logged: Logged) -> tuple[PoolLaw, ...]:
    """Fit what pools cost; give those that are new or have moved."""
    stand = {law.pool: law.spread for law in order.laws}
    found: list[PoolLaw] = []
    for number, pool in enumerate(logged.pool_names):
        ended = np.flatnonzero(logged.has_ended & (logged.pools == number))
        newest = ended[np.argsort(logged.rows.ended_ms[ended], kind="stable")[-SPREAD_OF:]]
        if len(newest) < FITTED_MIN:
            continue
        spread = fitted((logged.rows.run_ms[newest] / 1000).tolist())
        if has_moved(stand.get(pool, STANDARD), spread):
            found.append(PoolLaw(pool, spread.low_s, spread.high_s, len(newest), order.now_ms))
    return tuple(found)
