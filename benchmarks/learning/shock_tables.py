"""What shocks cost: waits under the shipped order beside the plain ones, trust, and the alarm of drift."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adapters.learned.boosted import gains_of
from adapters.learned.plain import EwmaModel
from adapters.learned.training import Recipe
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.replay import Say, training_rows
from benchmarks.learning.protocol import Floats, Places, Split, Trained, forecast_of, recent, trained
from benchmarks.learning.queues import Expected, Load, Outcome, in_order_of, load_of, shipped, waits_of
from benchmarks.learning.results import Bar, Curve, ShockScore, ShockTable
from benchmarks.learning.shocks import Mask, Plan, Shock
from core.learning.drift import ECE_ROUNDS, LIVE_ENDS, drift, moved, top_columns
from core.learning.events import Status
from core.learning.law import OLDEST_SHARE, OrderLaw, law_for
from core.learning.spread import STANDARD, fitted
from core.learning.starts import StartGuard
from core.learning.verdict import Said
from core.priority import PriorityRule
from ports.models import Model, Vectors

RHO = 0.9
CHECK_EVERY_ENDS = 500
SERIES_POINTS = 60
FIFO, ORACLE = "FIFO", "oracle SJF"
MEAN, MODEL = "shipped, EWMA", "shipped, XGBoost"
NO_LAW, LAW = "shipped, no model and no law yet", "shipped, no model, law of these jobs"
Waits = Mapping[str, Floats]


class Struck(NamedTuple):
    """A stretch in which something happens, with a model that was made before."""

    shock: Shock
    vectors: Vectors
    plan: Plan
    made: Trained


def cold_start(jobs: RecordedJobs, vectors: Vectors, count: int) -> ShockTable:
    """Serve the first jobs of a recording: no history, no model, and at first no law of the pool."""
    places = np.arange(min(count, len(jobs)))
    load = _load_of(jobs, places)
    by_mean = _seconds_of_mean(vectors[places])
    nothing = np.full(len(places), np.nan)
    expected = Expected(nothing, by_mean)
    no_law = OrderLaw(PriorityRule(), STANDARD, StartGuard(OLDEST_SHARE))
    law = law_for(fitted(load.run_s.tolist()), PriorityRule())
    waits = {
        FIFO: in_order_of(load, load.ready_s),
        NO_LAW: shipped(load, expected, no_law).waits_s,
        LAW: shipped(load, expected, law).waits_s,
        ORACLE: in_order_of(load, load.run_s),
    }
    early = np.zeros(len(places), np.bool_)
    early[: len(places) // 10] = True
    return ShockTable(
        "cold start",
        f"the first {len(places)} jobs; marked is the first tenth of them",
        load.slots,
        len(places),
        int(early.sum()),
        _scores(load, waits, np.ones(len(places), np.bool_), early),
        {},
        _series(load, waits),
    )


def struck(shock: Shock, vectors: Vectors, plan: Plan, recipe: Recipe, say: Say) -> ShockTable:
    """Train before the event, serve from the cut on, and judge what was submitted from the event on."""
    jobs = shock.jobs
    split = Split(jobs.day(plan.begin), jobs.day(plan.cut), jobs.day(plan.until), shock.name)
    one = Struck(shock, vectors, plan, trained(training_rows(jobs, vectors), split, recipe, say))
    places = jobs.between(split.cut_ms, split.until_ms)
    load = _load_of(jobs, places)
    forecast = forecast_of(jobs, vectors, one.made, places)
    law = law_for(fitted(recent(jobs, split)), PriorityRule())
    by_mean = shipped(load, Expected(forecast.by_mean, forecast.by_mean), law)
    by_model = shipped(load, Expected(forecast.by_model, forecast.by_mean), law)
    waits = {
        FIFO: in_order_of(load, load.ready_s),
        MEAN: by_mean.waits_s,
        MODEL: by_model.waits_s,
        ORACLE: in_order_of(load, load.run_s),
    }
    since = jobs.submitted_ms[places] >= jobs.day(plan.event)
    marked = shock.marked[places] & since
    say(f"queues of {shock.name}")
    return ShockTable(
        shock.name,
        f"trained to day {plan.cut:g}, from day {plan.event:g} on; marked is what is new or changed",
        load.slots,
        int(since.sum()),
        int(marked.sum()),
        _scores(load, waits, since, marked),
        _trust_of(by_model, since) | dict(alarms_of(one)),
        _series(load, waits),
    )


def _load_of(jobs: RecordedJobs, places: Places) -> Load:
    return load_of(jobs.submitted_ms[places] / 1000, jobs.run_ms[places] / 1000, RHO)


def _seconds_of_mean(vectors: Vectors) -> Floats:
    log_ms = EwmaModel().predict(vectors).log_run.astype(np.float64)
    return np.maximum(np.expm1(log_ms) / 1000, 1e-3)


def _scores(load: Load, waits: Waits, since: Mask, marked: Mask) -> dict[str, ShockScore]:
    part = Load(load.ready_s[since], load.run_s[since], load.slots)
    oracle = float(waits[ORACLE][since].mean())
    found: dict[str, ShockScore] = {}
    for name, waits_s in waits.items():
        one = waits_of(part, waits_s[since])
        apart = float(waits_s[marked].mean()) if marked.any() else float("nan")
        found[name] = ShockScore(one.mean_s, one.mean_s / oracle, one.p99_s, one.max_s, apart)
    return found


def _series(load: Load, waits: Waits) -> dict[str, Curve]:
    """Give mean waits over the time of arrival, in equal stretches of jobs, hours and seconds."""
    parts = np.array_split(np.arange(len(load.ready_s)), min(SERIES_POINTS, len(load.ready_s)))
    hours = [float(load.ready_s[part].mean() - load.ready_s[0]) / 3600 for part in parts]
    return {name: Curve(hours, [float(of[part].mean()) for part in parts]) for name, of in waits.items()}


def _trust_of(outcome: Outcome, since: Mask) -> dict[str, float]:
    """Say how much of what came since a model ordered, and after how many jobs it was first taken from it."""
    trusted = outcome.trusted[since]
    lost = np.flatnonzero(~trusted)
    found = {"share ordered by the model": float(trusted.mean())}
    if len(lost):
        found["jobs until the mean orders"] = float(lost[0])
    return found


def alarms_of(one: Struck) -> Iterator[tuple[str, float]]:
    """Yield how often drift was seen before the event, and after how many ends since it was seen first."""
    jobs = one.shock.jobs
    cut_ms, event_ms = jobs.day(one.plan.cut), jobs.day(one.plan.event)
    places = jobs.between(cut_ms, jobs.day(one.plan.until))
    ended = places[jobs.has_ended[places]]
    ended = ended[np.argsort(jobs.ended_ms[ended], kind="stable")]
    before = int((jobs.ended_ms[ended] < event_ms).sum())
    early = list(range(LIVE_ENDS, before + 1, 4 * CHECK_EVERY_ENDS))
    if early:
        yield "alarms per check before", sum(is_drift(one, ended[:count]) for count in early) / len(early)
    for count in range(max(before, LIVE_ENDS), len(ended) + 1, CHECK_EVERY_ENDS):
        if is_drift(one, ended[:count]):
            yield "ends until the alarm of drift", float(count - before)
            return


def is_drift(one: Struck, ended: Places) -> bool:
    """Ask what the trainer asks, of what had ended since the cut, in order of their ends."""
    jobs, vectors = one.shock.jobs, one.vectors
    newest = ended[-LIVE_ENDS:]
    failed = (jobs.status[newest] == Status.FAILED).astype(np.float64)
    cut_ms = jobs.day(one.plan.cut)
    trained_on = jobs.between(jobs.day(one.plan.begin), cut_ms)
    decided = jobs.between(cut_ms, int(jobs.ended_ms[newest[-1]]))
    return drift(
        failed,
        np.log1p(jobs.run_ms[newest].astype(np.float64)),
        _said(one.made.model, vectors[newest]),
        _said(EwmaModel(), vectors[newest]),
        np.random.default_rng(1).random((ECE_ROUNDS, len(newest))),
        moved(vectors[trained_on], vectors[decided], top_columns(gains_of(one.made.heads))),
    ).drifted


def _said(model: Model, vectors: Vectors) -> Said:
    said = model.predict(vectors)
    return Said(said.log_run.astype(np.float64), said.failed.astype(np.float64))


def shock_bars(tables: Sequence[ShockTable]) -> Iterator[Bar]:
    """Yield that nothing new costs more than a tenth over what orders without a model, or without history."""
    for table in tables:
        ours, plain = (MODEL, MEAN) if MODEL in table.by_policy else (NO_LAW, FIFO)
        ratio = table.by_policy[ours].mean_s / table.by_policy[plain].mean_s
        yield Bar(f"{table.name}, mean wait of {plain}", ratio, "<= 1.10", ratio <= 1.1)
