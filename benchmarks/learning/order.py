"""The queue tables: the shipped order and the orders it is compared with."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.queues import Expected, Floats, Load, Outcome, in_order_of, shipped, waits_of
from benchmarks.learning.results import QueueScore, QueueTable
from core.learning.law import OLDEST_SHARE, OrderLaw, law_for
from core.learning.spread import STANDARD, Spread
from core.learning.starts import StartGuard
from core.learning.trust import PROVEN_AFTER
from core.priority import PriorityRule

SHIPPED = "shipped, XGBoost"
SHIPPED_EWMA = "shipped, EWMA"
SHIPPED_RULE = "shipped, rule's head starts, XGBoost"
ORACLE = "oracle SJF"
WRONG = ("reversed", "frozen", "missing", "reversed from the middle on")
"""Names of wrong models, whose cost has a bound."""


class Forecast(NamedTuple):
    """Run times expected of the jobs of a load, seconds, and what they were."""

    by_model: Floats
    by_mean: Floats
    others: Mapping[str, Floats]
    """Further predictors, for exact orders."""
    groups: NDArray[np.int64]
    """Jobs with the same number are of one tenant and type."""


def table(trace: str, rho: float, load: Load, forecast: Forecast, spread: Spread) -> QueueTable:
    """Simulate every order on one load."""
    oracle = in_order_of(load, load.run_s)
    law = law_for(spread, PriorityRule())
    base = shipped(load, Expected(forecast.by_mean, forecast.by_mean), law)
    late = _after_completions(load, base)

    def scored(waits_s: Floats) -> QueueScore:
        waits = waits_of(load, waits_s)
        return QueueScore(
            mean_s=waits.mean_s,
            of_oracle=waits.mean_s / float(oracle.mean()),
            slowdown=waits.slowdown,
            p99_s=waits.p99_s,
            max_s=waits.max_s,
            of_ewma=float(waits_s[late].mean() / base.waits_s[late].mean()),
        )

    rows = {"FIFO": scored(in_order_of(load, load.ready_s))}
    exact = {**forecast.others, "SJF EWMA": forecast.by_mean, "SJF XGBoost": forecast.by_model}
    rows |= {name: scored(in_order_of(load, by)) for name, by in exact.items()}
    rows[ORACLE] = scored(oracle)
    rows[SHIPPED_EWMA] = scored(base.waits_s)
    today = OrderLaw(PriorityRule(), STANDARD, StartGuard(OLDEST_SHARE))
    standard = shipped(load, Expected(forecast.by_model, forecast.by_mean), today)
    rows[SHIPPED_RULE] = scored(standard.waits_s)
    for name, by_model in _models(forecast, spread):
        rows[name] = scored(shipped(load, Expected(by_model, forecast.by_mean), law).waits_s)
    wrong = reversed_in(spread, forecast.by_model)
    blind = shipped(load, Expected(wrong, wrong), law)
    rows["reversed, trusted all the same"] = scored(blind.waits_s)
    return QueueTable(trace, rho, load.slots, len(load.ready_s), rows)


def reversed_in(spread: Spread, by_model: Floats) -> Floats:
    """Turn predictions round within the range of the buckets: the cheapest bucket becomes the dearest."""
    return spread.low_s * spread.top_s / by_model


def _models(forecast: Forecast, spread: Spread) -> Iterator[tuple[str, Floats]]:
    """Yield the model, and what it may turn into."""
    by_model = forecast.by_model
    wrong = reversed_in(spread, by_model)
    yield SHIPPED, by_model
    yield "reversed", wrong
    yield "frozen", _frozen(by_model, forecast.groups)
    yield "missing", np.full(len(by_model), np.nan)
    turned = np.arange(len(by_model)) > len(by_model) // 2
    yield "reversed from the middle on", np.where(turned, wrong, by_model)


def _frozen(by_model: Floats, groups: NDArray[np.int64]) -> Floats:
    """Give every job the first prediction that was made for its tenant and type."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    frozen: Floats = by_model[first][inverse]
    return frozen


def _after_completions(load: Load, base: Outcome) -> NDArray[np.bool_]:
    """Give the jobs that arrived after so many ends that a model can be judged."""
    ends_s = np.sort(load.ready_s + base.waits_s + load.run_s)
    settled: NDArray[np.bool_] = load.ready_s > ends_s[min(PROVEN_AFTER, len(ends_s) - 1)]
    return settled if settled.any() else np.ones(len(load.ready_s), np.bool_)
