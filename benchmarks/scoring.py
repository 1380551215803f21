"""What scoring costs: features, a model of full size, a whole decision; and how long one takes."""

import time
from typing import cast

import msgspec
import numpy as np

from adapters.learned.boosted import BoostedModel
from adapters.learned.training import Recipe, train
from adapters.recordings.replay import replayed, training_rows
from adapters.telemetry.prometheus import PrometheusMeter
from benchmarks.latency import quantiles
from benchmarks.learning.generator import made_up
from benchmarks.results import Quantiles, Scoring, StageCost
from benchmarks.sample import BASE_MS, ROUTES, RULE
from benchmarks.stages import cost_of
from benchmarks.timing import measure
from core.learning.aggregates import KeyAggregates
from core.learning.events import Ended, Key, Status, Submitted
from core.learning.fold import FeatureFold
from core.learning.law import OLDEST_SHARE, law_of
from core.learning.trust import PROVEN_AFTER, Seen, Trusts
from core.learning.vector_budget import VectorBudget
from core.log import Record
from core.run_times import RunTimes
from ports.feature_view import FeatureView
from ports.log import PartitionReader
from ports.models import Model
from schemas.accepted_job import AcceptedJob
from schemas.features import feature_record
from schemas.models import FailingPoint, Standing
from schemas.outcomes import Subject
from services.prioritizer.decide import Ranking, place
from services.prioritizer.expect import Expecter, matrix_of

BATCH = 500
TRAINED_JOBS = 20_000
SUBJECTS = (5, 500)
"""Tenants' types in a batch: few, and as many as jobs."""
ONE_BY_ONE = 2000


class _InForce:
    """One champion, for good."""

    shadow = None
    standing: Standing | None = None
    failing: FailingPoint | None = None

    def __init__(self, champion: Model | None) -> None:
        self.champion = champion

    def law(self, _pool: str) -> None:
        return None


def measure_scoring(*, repeats: int, least_s: float) -> Scoring:
    """Train a model of full size on made-up jobs, and measure what it costs to be scored by it."""
    model = _model()
    costs: list[StageCost] = []

    def cost(name: str, expecter: Expecter, jobs: list[AcceptedJob], *, is_whole: bool) -> None:
        moment_ms = BASE_MS

        def work() -> None:
            nonlocal moment_ms
            # A second of its own each, so that nothing is left of the one before.
            moment_ms += 1000
            expected = expecter.expect(jobs, moment_ms)
            if is_whole:
                for job, one in zip(jobs, expected, strict=True):
                    place(job, moment_ms, Ranking(one, law))

        timing = measure(work, len(jobs), repeats=repeats, least_s=least_s)
        costs.append(
            StageCost(
                name, "job", round(timing.us, 2), round(timing.ratio, 4), round(timing.calibration_us, 1)
            )
        )

    law = law_of(None, RULE, OLDEST_SHARE)
    for subjects in SUBJECTS:
        view, jobs = _known(subjects), _jobs(subjects)
        ewma, learned = _expecter(view, None), _expecter(view, model)
        cost(f"features, {subjects} subjects a batch", ewma, jobs, is_whole=False)
        cost(f"features and model, {subjects} subjects", learned, jobs, is_whole=False)
        cost(f"whole decision, {subjects} subjects", learned, jobs, is_whole=True)
    matrix = matrix_of(_known(SUBJECTS[1]).vectors(_jobs(SUBJECTS[1]), BASE_MS))
    timing = measure(lambda: model.predict(matrix), len(matrix), repeats=repeats, least_s=least_s)
    return Scoring(BATCH, (cost_of("model alone", timing), *costs), _one_by_one(model))


def _one_by_one(model: BoostedModel) -> Quantiles:
    """Time decisions about single jobs, each of a subject nothing was computed of, ms of wall time."""
    view, jobs = _known(SUBJECTS[1]), _jobs(SUBJECTS[1])
    expecter, law = _expecter(view, model), law_of(None, RULE, OLDEST_SHARE)
    took_ms = []
    for number in range(ONE_BY_ONE):
        job, now_ms = jobs[number % len(jobs)], BASE_MS + 1000 * number
        began_s = time.perf_counter()
        (expected,) = expecter.expect([job], now_ms)
        place(job, now_ms, Ranking(expected, law))
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return quantiles(took_ms)


def _model() -> BoostedModel:
    jobs = made_up(TRAINED_JOBS, days=6, seed=1)
    rows = training_rows(jobs, replayed(jobs, lambda _: None))
    return BoostedModel("m", train(rows, int(rows.decided_ms[-1]), Recipe(limit_ms=7_200_000)))


def _expecter(view: FeatureView, model: Model | None) -> Expecter:
    trusts = Trusts()
    for number in range(PROVEN_AFTER):
        run = float(number % 7)
        trusts.of("m").saw(Seen(run, run, run))
    return Expecter(
        view=view,
        models=_InForce(model),
        run_times=RunTimes(),
        trusts=trusts,
        budget=VectorBudget(100),
        meter=PrometheusMeter(),
    )


def _jobs(subjects: int) -> list[AcceptedJob]:
    return [
        AcceptedJob(
            f"0123abcd:0:{number}",
            f"01890000-0000-7000-8000-{number:012d}",
            f"type.{number % subjects}",
            f"tenant-{number % subjects % 20}",
            "default",
            msgspec.Raw(b'{"to":"somebody"}'),
            5,
            BASE_MS,
            300.0,
            3,
            "0" * 16,
            "0" * 32,
        )
        for number in range(BATCH)
    ]


def _known(subjects: int) -> FeatureView:
    """Give a view of what is known after three hundred jobs of each subject on average."""
    fold, dice = FeatureFold(), np.random.default_rng(1)
    for number in range(30 * subjects):
        subject = Subject(f"tenant-{number % subjects % 20}", f"type.{number % subjects}")
        at_ms = BASE_MS - 600_000 + 10 * number
        fold.take(Submitted(at_ms, str(number), 1, 17), subject.keys)
        status = Status.FAILED if dice.random() < 0.05 else Status.OK
        end = Ended(at_ms + 500, str(number), 1, int(dice.integers(1, 5000)), status, at_ms)
        fold.take(end, subject.keys)
    list(fold.close(BASE_MS))
    view = FeatureView(cast("PartitionReader", None), ROUTES, PrometheusMeter())
    states: dict[Key, KeyAggregates] = fold.states
    view.take(
        [
            Record(new.topic, new.partition, 0, BASE_MS, new.key, new.value, ())
            for new in (feature_record(ROUTES, 0, key, state) for key, state in states.items())
        ]
    )
    return view
