"""Whether to try again at all: stop rules on recorded attempts that were retried at once, whatever happened.

Where a rule stops, the later attempts of the task are not made: truncating what was recorded is exact.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.learned.heads import Head
from adapters.learned.retry_training import WORKS_ROUNDS, train_works
from adapters.learned.retrying import LearnedChance
from benchmarks.learning.intervals import interval
from benchmarks.learning.results import Curve, Interval
from benchmarks.retry.attempts import Retries
from benchmarks.retry.results import ChanceScore, Stopping, StopScore
from core.learning import measures
from core.retrying.bins import Floats
from core.retrying.columns import COLUMN
from core.retrying.standing import PRIOR_SHARE
from core.retrying.stop import Recalibration, StopCosts, worth

Places = NDArray[np.int64]
Stops = NDArray[np.bool_]
LOST_S: tuple[float, ...] = tuple(float(value) for value in np.geomspace(1e3, 1e6, 31))
"""Worths of a success that are tried, seconds of a machine."""
TRY_S = 60.0
"""Of a machine, for starting a try."""
KEEP_AT_LEAST = 0.994
"""Share of successes that must be kept on the stretches that the ratio is chosen on. The bar is .99, and
of a thousand successes that many are kept by luck alone."""
CAPS = (1, 2, 3, 5)


class Stretch(NamedTuple):
    """Failures from a time to before another, ms since the recording began."""

    begin_ms: int
    end_ms: int


class Rule(NamedTuple):
    """A stop rule, as chosen."""

    lost_s: float
    """What a success is worth, seconds of a machine."""
    is_recalibrated: bool
    """Probabilities are corrected by what ended since the model was made."""


class Spoken(NamedTuple):
    """Failures of a stretch, and what was said of them."""

    places: Places
    raw: Floats
    recalibrated: Floats
    head: Head


def spoken(retries: Retries, cut_ms: int, judged: Stretch, rounds: int = WORKS_ROUNDS) -> Spoken:
    """Train on what had ended by a cut; say the chance of every retry of a later stretch."""
    known = retries.resolved & (retries.at_ms < cut_ms) & (retries.ended_ms < cut_ms)
    head = train_works(retries.vectors[known], retries.worked[known].astype(np.float32), rounds=rounds)
    places = np.flatnonzero((retries.at_ms >= judged.begin_ms) & (retries.at_ms < judged.end_ms))
    raw = LearnedChance(head).of(retries.vectors[places])
    return Spoken(places, raw, _recalibrated(retries, places, raw), head)


def _recalibrated(retries: Retries, places: Places, raw: Floats) -> Floats:
    """Correct what is said by what ended since, in order of time."""
    ended = [place for place in range(len(places)) if retries.resolved[places[place]]]
    ended.sort(key=lambda place: int(retries.ended_ms[places[place]]))
    state, told = Recalibration(), 0
    found = np.empty(len(places))
    for place, row in enumerate(places.tolist()):
        while told < len(ended) and retries.ended_ms[places[ended[told]]] < retries.at_ms[row]:
            over = ended[told]
            state.add(float(raw[over]), worked=bool(retries.worked[places[over]]))
            told += 1
        found[place] = state.of(float(raw[place]))
    return found


def dropped(retries: Retries, places: Places, stops: Callable[[int], bool]) -> Stops:
    """Give which retries are not made, (n_places,), once a task has been stopped at one.

    Parameters
    ----------
    stops
        Tells of a place in ``places`` whether it is stopped there.
    """
    over: set[int] = set()
    found = np.zeros(len(places), np.bool_)
    for place, row in enumerate(places.tolist()):
        task = int(retries.task[row])
        if task not in over and stops(place):
            over.add(task)
        found[place] = task in over
    return found


def by_worth(retries: Retries, said: Spoken, rule: Rule) -> Stops:
    """Apply a stop rule."""
    costs = StopCosts(rule.lost_s, TRY_S)
    p = said.recalibrated if rule.is_recalibrated else said.raw

    def stops(place: int) -> bool:
        return worth(float(p[place]), float(retries.run_s[said.places[place]]), costs).stops

    return dropped(retries, said.places, stops)


def chosen(retries: Retries, stretches: list[tuple[int, Stretch]], rounds: int = WORKS_ROUNDS) -> Rule:
    """Give the rule that avoids most hours and keeps enough on some stretches, each after its cut."""
    said = [spoken(retries, cut_ms, stretch, rounds) for cut_ms, stretch in stretches]
    found = [_smallest(retries, said, is_recalibrated=one) for one in (False, True)]
    return max(found, key=lambda rule: _pooled(retries, said, rule)[1])


def _smallest(retries: Retries, said: list[Spoken], *, is_recalibrated: bool) -> Rule:
    """Give the rule with the smallest worth of a success that keeps enough."""
    rules = [Rule(lost_s, is_recalibrated) for lost_s in LOST_S]
    keeping = (rule for rule in rules if _pooled(retries, said, rule)[0] >= KEEP_AT_LEAST)
    return next(keeping, rules[-1])


def _pooled(retries: Retries, said: list[Spoken], rule: Rule) -> tuple[float, float]:
    """Give the share of successes kept, and of failed hours avoided, over all stretches together."""
    places = np.concatenate([one.places for one in said])
    stops = np.concatenate([by_worth(retries, one, rule) for one in said])
    return _kept(retries, places, stops), _hours(retries, places, stops)


def judge(retries: Retries, said: Spoken, rule: Rule, words: str, cut_ms: int, rounds: int) -> Stopping:
    """Score every rule on what was said of a stretch."""
    places = said.places
    resolved = np.flatnonzero(retries.resolved[places])
    worked = retries.worked[places][resolved].astype(np.float64)
    known = retries.resolved & (retries.ended_ms < cut_ms) & (retries.at_ms < cut_ms)
    chances = {
        "attempt number": _by_number(retries, known)[retries.failures[places]],
        "tenant's running rate": _rate(retries, places),
        "XGBoost": said.raw,
        "XGBoost, recalibrated": said.recalibrated,
    }
    rules = {f"cap {cap}": _capped(retries, places, cap) for cap in CAPS}
    rules["XGBoost, cost ratio"] = by_worth(retries, said, rule)
    by_lost = [by_worth(retries, said, rule._replace(lost_s=lost_s)) for lost_s in LOST_S]
    points = [(_kept(retries, places, one), _hours(retries, places, one)) for one in by_lost]
    enough = _kept(retries, places, rules["cap 5"])
    return Stopping(
        judged=words,
        retries=len(resolved),
        jobs=len(np.unique(retries.job[places[resolved]])),
        lost_s=rule.lost_s,
        is_recalibrated=rule.is_recalibrated,
        chances={name: _chance(worked, p[resolved]) for name, p in chances.items()},
        rules={name: _score(retries, places, stops, rounds) for name, stops in rules.items()},
        hours_at_cap_5=max((hours for kept, hours in points if kept >= enough), default=0.0),
        curve=Curve([kept for kept, _ in points], [hours for _, hours in points]),
    )


def _capped(retries: Retries, places: Places, cap: int) -> Stops:
    return dropped(retries, places, lambda place: bool(retries.failures[places[place]] > cap))


def _by_number(retries: Retries, known: Stops) -> Floats:
    """Give the share that worked after so many failures, among what was known; shrunk to the share of all."""
    overall = float(retries.worked[known].mean())
    most = int(retries.failures.max()) + 1
    tried = np.bincount(retries.failures[known], minlength=most)
    worked = np.bincount(retries.failures[known], weights=retries.worked[known], minlength=most)
    found: Floats = (worked + overall) / (tried + 1.0)
    return found


def _rate(retries: Retries, places: Places) -> Floats:
    rate = retries.vectors[places, COLUMN["tenant.retry_works"]].astype(np.float64)
    return np.where(np.isnan(rate), PRIOR_SHARE, rate)


def _chance(worked: Floats, p: Floats) -> ChanceScore:
    return ChanceScore(
        measures.roc_auc(worked, p), measures.average_precision(worked, p), measures.log_loss(worked, p)
    )


def _kept(retries: Retries, places: Places, stops: Stops) -> float:
    worked = retries.worked[places] & retries.resolved[places]
    return float(1 - stops[worked].mean()) if worked.any() else 1.0


def _hours(retries: Retries, places: Places, stops: Stops) -> float:
    failed = ~retries.worked[places] & retries.resolved[places]
    hours = retries.hours[places]
    return float(hours[failed & stops].sum() / max(1e-9, hours[failed].sum()))


def _score(retries: Retries, places: Places, stops: Stops, rounds: int) -> StopScore:
    def of(measure: Callable[[Retries, Places, Stops], float], rows: Places) -> float:
        return measure(retries, places[rows], stops[rows])

    users = retries.user[places]
    failed = ~retries.worked[places] & retries.resolved[places]
    kept, hours = partial(of, _kept), partial(of, _hours)
    return StopScore(
        kept=Interval(_kept(retries, places, stops), *interval(users, kept, rounds)),
        avoided=float(stops[failed].mean()) if failed.any() else 0.0,
        hours=Interval(_hours(retries, places, stops), *interval(users, hours, rounds)),
    )
