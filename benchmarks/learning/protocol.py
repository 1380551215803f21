"""The protocol: train on what had ended by a cut, judge on what was submitted after it."""

import hashlib
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.learned.boosted import BoostedModel
from adapters.learned.heads import Heads
from adapters.learned.plain import EwmaModel, LastTwoModel
from adapters.learned.rows import Rows, known_at
from adapters.learned.training import Recipe, train
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.replay import Say, training_rows
from benchmarks.learning import failure, order, run_time
from benchmarks.learning.naive import running_rates
from benchmarks.learning.queues import Load, load_of, stretched
from benchmarks.learning.results import Bar, Curve, FailureScore, QueueTable, RunScore, WorstCase
from core.learning import measures
from core.learning.events import Status
from core.learning.spread import fitted
from core.learning.verdict import slices_of
from ports.models import Predictions, Vectors

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
LOADS = (0.8, 0.9, 0.95)
XGBOOST = "XGBoost"
RESIDUAL = "XGBoost residual"
SPREAD_OF = 50_000
"""Newest ended runs before the cut of which the spread of buckets is fitted."""


@dataclass(frozen=True)
class Split:
    """What is trained on and what is judged, as days of a recording."""

    begin_ms: int
    """Decisions before this are only history for features."""
    cut_ms: int
    until_ms: int
    words: str
    trace: str = "Google 2011"
    rounds: int = failure.BOOTSTRAPS
    run_rounds: int = 40


class Trained(NamedTuple):
    """A model, and what it was made of."""

    model: BoostedModel
    heads: Heads
    rows: int

    @property
    def sha256(self) -> str:
        """Hash over all bytes of the model, hex."""
        heads = [head for head in (*self.heads.run, *self.heads.failed, self.heads.run_high) if head]
        return hashlib.sha256(b"".join(head.ubj for head in heads)).hexdigest()


class Judged(NamedTuple):
    """What a split showed."""

    slice_jobs: dict[str, int]
    slice_failures: dict[str, int]
    failure: dict[str, FailureScore]
    run: dict[str, RunScore]
    queues: list[QueueTable]
    by_day: dict[str, dict[str, float]]
    curves: dict[str, Curve]
    worst: dict[str, list[WorstCase]]
    jobs: int


def trained(rows: Rows, split: Split, recipe: Recipe, say: Say) -> Trained:
    """Train a model as the trainer would have at the cut."""
    began_s = time.monotonic()
    heads = train(rows, split.cut_ms, recipe, split.begin_ms)
    count = len(known_at(rows, split.cut_ms, split.begin_ms, limit_ms=recipe.limit_ms)[0].rows)
    say(f"trained on {count} jobs in {time.monotonic() - began_s:.0f} s")
    return Trained(BoostedModel("challenger", heads), heads, count)


def judged(
    jobs: RecordedJobs,
    vectors: Vectors,
    made: Trained,
    split: Split,
    say: Say,
    loads: tuple[float, ...] = LOADS,
) -> Judged:
    """Judge a model on what was submitted from the cut on."""
    places = jobs.between(split.cut_ms, split.until_ms)
    ended = places[jobs.has_ended[places]]
    said = made.model.predict(vectors[ended])
    slices = slices_of(vectors[ended])
    failed = (jobs.status[ended] == Status.FAILED).astype(np.float64)
    log_run = np.log1p(jobs.run_ms[ended].astype(np.float64))
    by_failure = _failure_predictions(jobs, vectors, ended, said, split)
    by_run = _run_predictions(vectors[ended], said)
    say(f"judging {len(ended)} jobs, of which {failed.sum():.0f} failed")
    run_scores = run_time.judge(log_run, by_run, slices, jobs.tenant[ended], split.run_rounds)
    say("run times judged")
    failure_scores = failure.judge(failed, by_failure, slices, jobs.tenant[ended], split.rounds)
    say("failures judged")
    return Judged(
        slice_jobs={name: int(rows.sum()) for name, rows in slices.items()},
        slice_failures={name: int(failed[rows].sum()) for name, rows in slices.items()},
        failure=failure_scores,
        run=run_scores,
        queues=queue_tables(jobs, vectors, made, split, say, loads),
        by_day=_by_day(jobs, ended, failed, log_run, by_failure, by_run),
        curves=failure.curves(failed, {name: by_failure[name] for name in (XGBOOST, failure.HIERARCHY)}),
        worst={
            RESIDUAL: run_time.worst(log_run, by_run[RESIDUAL], jobs.tenant[ended], jobs.type[ended]),
        },
        jobs=len(ended),
    )


def _failure_predictions(
    jobs: RecordedJobs, vectors: Vectors, ended: Places, said: Predictions, split: Split
) -> dict[str, Floats]:
    by_tenant, by_hierarchy = running_rates(jobs)
    before = (jobs.ended_ms < split.cut_ms) & jobs.has_ended
    base = float(np.mean(jobs.status[before] == Status.FAILED))
    return {
        "constant": np.full(len(ended), base),
        "per-tenant rate": by_tenant[ended],
        failure.HIERARCHY: by_hierarchy[ended],
        "hierarchical rate, decayed": EwmaModel().predict(vectors[ended]).failed.astype(np.float64),
        XGBOOST: said.failed.astype(np.float64),
    }


def _run_predictions(vectors: Vectors, said: Predictions) -> dict[str, Floats]:
    return {
        "last two": LastTwoModel().predict(vectors).log_run.astype(np.float64),
        "EWMA": EwmaModel().predict(vectors).log_run.astype(np.float64),
        RESIDUAL: said.log_run.astype(np.float64),
    }


def _by_day(
    jobs: RecordedJobs,
    ended: Places,
    failed: Floats,
    log_run: Floats,
    by_failure: dict[str, Floats],
    by_run: dict[str, Floats],
) -> dict[str, dict[str, float]]:
    days = (jobs.submitted_ms[ended] - jobs.began_ms) // 86_400_000
    found: dict[str, dict[str, float]] = {}
    for day in np.unique(days):
        rows = days == day
        found[f"day {day}"] = {
            "jobs": float(rows.sum()),
            "failed": float(failed[rows].sum()),
            "PR-AUC XGBoost": measures.average_precision(failed[rows], by_failure[XGBOOST][rows]),
            "PR-AUC hierarchical": measures.average_precision(
                failed[rows], by_failure[failure.HIERARCHY][rows]
            ),
            "Spearman XGBoost": measures.spearman(log_run[rows], by_run[RESIDUAL][rows]),
            "Spearman EWMA": measures.spearman(log_run[rows], by_run["EWMA"][rows]),
        }
    return found


def queue_tables(
    jobs: RecordedJobs, vectors: Vectors, made: Trained, split: Split, say: Say, loads: tuple[float, ...]
) -> list[QueueTable]:
    """Simulate the judged days at several loads; what had not ended occupies its slot up to the limit."""
    places = jobs.between(split.cut_ms, split.until_ms)
    ready_s, run_s = jobs.submitted_ms[places] / 1000, jobs.run_ms[places] / 1000
    forecast = forecast_of(jobs, vectors, made, places)
    found: list[QueueTable] = []
    for rho in loads:
        found.append(
            order.table(split.trace, rho, load_of(ready_s, run_s, rho), forecast, fitted(recent(jobs, split)))
        )
        say(f"queues at load {rho:g}")
    return found


def sdsc_table(
    jobs: RecordedJobs, vectors: Vectors, recipe: Recipe, say: Say, slots: int = 32, rho: float = 0.9
) -> QueueTable:
    """Train on the first 70 % of a batch log and simulate the rest, arrivals moved to make the load."""
    cut_ms = int(jobs.submitted_ms[round(0.7 * len(jobs))])
    split = Split(0, cut_ms, int(jobs.submitted_ms[-1]) + 1, "last 30 %")
    made = trained(training_rows(jobs, vectors), split, recipe, say)
    places = jobs.between(split.cut_ms, split.until_ms)
    load: Load = stretched(jobs.submitted_ms[places] / 1000, jobs.run_ms[places] / 1000, slots, rho)
    forecast = forecast_of(jobs, vectors, made, places)
    asked_s = jobs.timeout_s[places].astype(np.float64)
    forecast = forecast._replace(others={"SJF user's estimate": asked_s, **forecast.others})
    found = order.table("SDSC-SP2", rho, load, forecast, fitted(recent(jobs, split)))
    say("queues of SDSC-SP2")
    return found


def forecast_of(jobs: RecordedJobs, vectors: Vectors, made: Trained, places: Places) -> order.Forecast:
    """Give what is expected of the run times of some jobs, seconds."""

    def seconds(log_ms: NDArray[np.float32]) -> Floats:
        return np.maximum(np.expm1(log_ms.astype(np.float64)) / 1000, 1e-3)

    of_places = vectors[places]
    return order.Forecast(
        by_model=seconds(made.model.predict(of_places).log_run),
        by_mean=seconds(EwmaModel().predict(of_places).log_run),
        others={"SJF last two": seconds(LastTwoModel().predict(of_places).log_run)},
        groups=jobs.tenant[places] * (int(jobs.type.max()) + 1) + jobs.type[places],
    )


def recent(jobs: RecordedJobs, split: Split) -> list[float]:
    """Give the newest run times that had ended by the cut, seconds."""
    known = np.flatnonzero(jobs.has_ended & (jobs.ended_ms < split.cut_ms))
    newest = known[np.argsort(jobs.ended_ms[known], kind="stable")[-SPREAD_OF:]]
    found: list[float] = (jobs.run_ms[newest] / 1000).tolist()
    return found


def bars(found: Judged, sdsc: QueueTable | None) -> list[Bar]:
    """Compare with what must be reached on the held-out days."""
    ours, naive = found.failure[XGBOOST], found.failure[failure.HIERARCHY]
    run = found.run[RESIDUAL]
    worst = min(ours.slices[name] - naive.slices[name] for name in ours.slices)
    rows = [
        Bar("FAIL PR-AUC", ours.pr_auc.value, ">= .78", ours.pr_auc.value >= 0.78),
        Bar("worst slice, PR-AUC above the naive", worst, ">= 0", worst >= 0),
        Bar("recall at precision .9", ours.recall_at_90, ">= .60", ours.recall_at_90 >= 0.60),
        Bar(
            "good jobs above it per 1,000",
            ours.diverted_good_per_1000,
            "<= 1",
            ours.diverted_good_per_1000 <= 1,
        ),
        Bar("log loss", ours.log_loss, "<= .0232", ours.log_loss <= 0.0232),
        Bar("ECE", ours.ece, "<= .003", ours.ece <= 0.003),
        Bar("run time Spearman", run.spearman.value, ">= .928", run.spearman.value >= 0.928),
        Bar("within 2x", run.within_2x, ">= .90", run.within_2x >= 0.90),
        Bar("cold Spearman", run.cold_spearman, ">= .64", run.cold_spearman >= 0.64),
    ]
    for one in found.queues:
        if one.rho == 0.9:
            shipped = one.by_policy[order.SHIPPED]
            rows.append(
                Bar("mean wait of oracle at .9", shipped.of_oracle, "<= 1.13", shipped.of_oracle <= 1.13)
            )
            rows.append(Bar("max wait at .9, s", shipped.max_s, "<= 73,000", shipped.max_s <= 73_000))
        for name in order.WRONG:
            ratio = one.by_policy[name].of_ewma
            rows.append(Bar(f"{name} model, of EWMA order, at {one.rho:g}", ratio, "<= 1.10", ratio <= 1.1))
    if sdsc is not None:
        ratio = sdsc.by_policy[order.SHIPPED].of_oracle
        rows.append(Bar("mean wait of oracle, SDSC-SP2", ratio, "<= 1.29", ratio <= 1.29))
    return rows
