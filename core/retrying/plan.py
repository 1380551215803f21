"""The delay of the next try by dynamic programming over the tries that are left.

Let ``S(t)`` be the chance that an episode is still on at age ``t``. Who failed at age ``a`` with ``m`` tries
left stops, or tries again at an age ``t > a``. With ``W(a) = S(a) V(a)``, ``V`` the expected cost from ``a``
on, the recursion has no division::

    W_0(a) = abandoned * (S(a) - S(end))
    W_m(a) = min(W_0(a), min over t > a of
                 delay * (t (S(a) - S(t)) - (F(t) - F(a))) + wasted * S(t) + W_{m-1}(t))

where ``F(t)`` is the mean age of recovery up to ``t`` times its chance: the first term is the time between
recovery and the try that finds it. Ages are the edges of the bins; (n_ages, n_ages) numbers a try left.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import NamedTuple

import numpy as np

from core.retrying.bins import BINS, EDGES_S, HORIZON_S, TICK_S, Floats
from core.retrying.choice import Act, Choice, Moment, snapped
from core.retrying.survival import surviving

TRIES_MAX = 24
"""Tries that are planned ahead: beyond, one more changes no first delay that was ever seen."""
JITTER_SHARE = 0.02
"""The draw moves a try as far as the expected cost grows by no more than this share of it."""

CAUTION = 4.0
"""Giving up must be right even if it were so many times as dear. A hazard is an estimate: a try too many
costs a try and shows that it was one, giving up what would have recovered costs hours and shows nothing. On
ten recorded days plans cost 6 % less, and .9997 of what could recover does instead of .971."""

_NOT_LATER = np.where(np.tri(BINS + 3, dtype=bool), np.inf, 0.0)
"""Added to what a try at an age costs after a failure at another, one a row: it must be the later one."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What is paid, in any one unit.

    Attributes
    ----------
    wasted_try
        For a try that fails.
    delay_per_s
        For a second between recovery and the try that finds it.
    abandoned
        For giving up what would have recovered in time; what never recovers is lost either way.
    hold_try_s
        Seconds between recovery and the release of a held job; None where nothing can be held.
    """

    wasted_try: float
    delay_per_s: float
    abandoned: float
    hold_try_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("wasted_try", "delay_per_s", "abandoned"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: a cost is a finite number of at least 0")

    def cautious(self) -> "Costs":
        """Give what to plan by where hazards are estimates; see ``CAUTION``."""
        return replace(self, abandoned=self.abandoned * CAUTION)


class _Grid(NamedTuple):
    """Ages at which something can be tried, the present age first; all (n_ages,)."""

    age_s: Floats
    on: Floats
    """Chance of still being on, given that it is now."""
    mean_s: Floats
    """Sum of chances times ages of recovery since now."""


def planned(hazards: Floats, moment: Moment, costs: Costs, draw: float) -> Choice:
    """Choose what costs least from here on.

    Parameters
    ----------
    hazards
        (n_bins,) by age of the episode. An episode that is older than the last edge but one is taken to be
        as old as that.
    draw
        Uniform in [0, 1): moves the try within the window that costs nearly the same.
    """
    grid = _grid(hazards, moment)
    lost = costs.abandoned * (grid.on - grid.on[-1])
    stop = Choice(Act.STOP, expected_cost=float(lost[0]), stop_cost=float(lost[0]))
    hold_cost = None
    if costs.hold_try_s is not None:
        hold_cost = float((1.0 - grid.on[-1]) * min(costs.hold_try_s * costs.delay_per_s, costs.abandoned))
    best = stop
    if moment.tries_left > 0 and len(grid.age_s) > 1:
        tried = _tried(grid, lost, costs, min(moment.tries_left, TRIES_MAX))
        if tried.min() < lost[0]:
            best = _drawn(grid, tried, draw)
    if hold_cost is not None and best.expected_cost is not None and hold_cost < best.expected_cost:
        best = Choice(Act.HOLD, expected_cost=hold_cost)
    return Choice(
        best.act,
        best.delay_s,
        best.window_s,
        best.p_success,
        best.expected_cost,
        stop_cost=float(lost[0]),
        hold_cost=hold_cost,
    )


def _grid(hazards: Floats, moment: Moment) -> _Grid:
    now_s = min(moment.age_s, EDGES_S[-2])
    last_s = min(HORIZON_S, now_s + moment.latest_s)
    first_s = now_s + TICK_S
    # A delay is rounded up to the tick, so the last one must leave room for that.
    if first_s > last_s:
        ages = np.array([now_s])
    else:
        inner = EDGES_S[np.searchsorted(EDGES_S, first_s, "right") : np.searchsorted(EDGES_S, last_s)]
        ages = np.r_[now_s, first_s, inner, last_s] if last_s > first_s else np.array([now_s, first_s])
    on = surviving(hazards, ages)
    on /= on[0]
    middle = (ages[1:] + ages[:-1]) / 2
    return _Grid(ages, on, np.r_[0.0, np.cumsum((on[:-1] - on[1:]) * middle)])


def _tried(grid: _Grid, lost: Floats, costs: Costs, tries: int) -> Floats:
    """Give the cost from the present age on by the age of the next try, (n_ages - 1,)."""
    late = costs.delay_per_s * grid.age_s
    at = costs.wasted_try * grid.on - late * grid.on - costs.delay_per_s * grid.mean_s
    # Rows: the age of the last failure; columns: that of the next try, which is later.
    ages = len(late)
    step = np.multiply.outer(grid.on, late)
    step += _NOT_LATER[:ages, :ages]
    ahead, through = lost, np.empty_like(step)
    for _ in range(tries - 1):
        np.add(step, at + ahead, out=through)
        newer = np.minimum(lost, through.min(axis=1) + costs.delay_per_s * grid.mean_s)
        if np.array_equal(newer, ahead):
            break
        ahead = newer
    first: Floats = (step[0] + at + ahead)[1:]
    return first


def _drawn(grid: _Grid, tried: Floats, draw: float) -> Choice:
    best = int(tried.argmin())
    good = tried <= tried[best] + JITTER_SHARE * abs(tried[best])
    low = best - int(np.argmin(np.r_[good[best::-1], False])) + 1
    high = best + int(np.argmin(np.r_[good[best:], False])) - 1
    delays = grid.age_s[1:] - grid.age_s[0]
    window = (float(delays[low]), float(delays[high]))
    longest_s = float(delays[-1])
    delay_s = snapped(window[0] + draw * (window[1] - window[0]))
    if delay_s > longest_s:
        delay_s -= TICK_S
    on = np.interp(grid.age_s[0] + delay_s, grid.age_s, grid.on)
    return Choice(Act.TRY, delay_s, window, 1.0 - float(on), float(tried[best]))
