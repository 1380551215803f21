"""What is expected of dispatches, and by whom: the model in force, the running mean, or the rule."""

import logging
import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from core.learning.agreement import ENOUGH, Agreement
from core.learning.events import Kind
from core.learning.features import COLUMN, FEATURES, FINGERPRINT
from core.learning.preemption import Foreseen
from core.learning.spread import Spread
from core.learning.trust import Trusts
from core.learning.vector_budget import VectorBudget, is_in_share
from core.ledger.notes import Scored
from core.run_times import RunTimes
from ports.feature_view import FeatureView
from ports.meter import Meter, Metric
from ports.models import Model, Vectors
from schemas.accepted_job import AcceptedJob
from schemas.models import FailingPoint, Standing

logger = logging.getLogger(__name__)

RULE = "rule"
MEAN = "ewma"
LOG_RUN_MAX = math.log1p(30 * 86_400_000.0)
"""No prediction counts as longer than a month..."""
LOG_RUN_MIN = 0.0
"""...or as shorter than nothing."""
FAILED_MAX = 0.999
HIGH_OF_SPREAD = 1.6
"""If logarithms are normal, nine of ten runs stay below the mean plus so many mean absolute deviations."""
_RUN, _FAILED = COLUMN["expected_run"], COLUMN["expected_failed"]
_TYPE_FAILED, _EVER_FAILED = COLUMN["type.failed_share"], COLUMN["ever_failed"]
_SPREADS = tuple(
    COLUMN[f"{kind.name.lower()}.run_spread"] for kind in (Kind.TENANT_TYPE, Kind.TYPE, Kind.TENANT)
)


class ModelsInForce(Protocol):
    """Who orders jobs now (``ports.model_watch.ModelWatch``)."""

    @property
    def champion(self) -> Model | None:
        """The model that orders jobs; None: there is none."""
        ...

    @property
    def shadow(self) -> Model | None:
        """The model that is watched beside it."""
        ...

    @property
    def standing(self) -> Standing | None:
        """What was last said about who orders."""
        ...

    @property
    def failing(self) -> FailingPoint | None:
        """From which probability on the champion is nearly certain of failures; None: there is no such."""
        ...

    def law(self, pool: str) -> Spread | None:
        """Give the range of costs of a pool; None: not known, or not to be used."""
        ...


class Rivals(NamedTuple):
    """What a model and the running mean expect of one dispatch, whoever orders it; seconds."""

    model: str
    by_model_s: float
    by_mean_s: float


class Expected(NamedTuple):
    """What is expected of one dispatch."""

    model: str
    """Whose expectation orders it."""
    run_s: float
    high_s: float | None = None
    """Nine of ten such dispatches take less; None: not known."""
    failed: float = 0.0
    """Probability."""
    rivals: Rivals | None = None
    scored: Scored | None = None
    foreseen: Foreseen | None = None
    """None: its model is not nearly certain that it fails, is not trusted, or nobody asks."""


class _Guess(NamedTuple):
    """What one model said of a batch; lists in the order of the batch."""

    model: str
    log_run: list[float]
    failed: list[float]
    log_run_high: list[float] | None


class Expecter:
    """Says what is expected of each dispatch of a batch; whatever a model does, there is an answer.

    Parameters
    ----------
    models
        None: the rule alone, whatever is learned.
    foresees
        Whether anybody asks what will nearly certainly fail.
    """

    def __init__(
        self,
        *,
        view: FeatureView,
        models: ModelsInForce | None,
        run_times: RunTimes,
        trusts: Trusts,
        budget: VectorBudget,
        meter: Meter,
        foresees: bool = False,
    ) -> None:
        self._foresees = foresees
        self._view = view
        self._models = models
        self._run_times = run_times
        self._trusts = trusts
        self._budget = budget
        self._meter = meter
        self._agreed: tuple[str, Agreement] = ("", Agreement())
        """The champion that was asked last, and how its predictions go with the running mean's."""
        self._contradicted = False

    def expect(self, jobs: Sequence[AcceptedJob], now_ms: int) -> list[Expected]:
        """Give what is expected of each job, in the order given; ``now_ms`` is broker time."""
        if not jobs:
            return []
        if self._models is None or not self._view.knows or not _is_enabled(self._models.standing):
            return [Expected(RULE, self._run_times.expected_s(job.type)) for job in jobs]
        vectors = self._view.vectors(jobs, now_ms)
        champion, shadow = self._models.champion, self._models.shadow
        matrix = matrix_of(vectors) if champion is not None or shadow is not None else None
        guess = self._guess(champion, matrix)
        beside = self._guess(shadow, matrix)
        is_trusted = guess is not None and self._is_trusted(guess, vectors)
        share = self._budget.share(len(jobs), now_ms)
        failing = self._models.failing if self._foresees and is_trusted else None
        found = [
            expected_of(
                vector,
                guess,
                beside,
                place,
                is_trusted=is_trusted,
                logged_at_ms=now_ms if is_in_share(job.origin, job.n, share) else None,
            )
            for place, (job, vector) in enumerate(zip(jobs, vectors, strict=True))
        ]
        if failing is None or guess is None:
            return found
        return [
            above(one, job, vector, guess, place, point=failing.probability, now_ms=now_ms)
            for place, (one, job, vector) in enumerate(zip(found, jobs, vectors, strict=True))
        ]

    def _is_trusted(self, guess: "_Guess", vectors: "Sequence[array[float]]") -> bool:
        trust = self._trusts.of(guess.model)
        contradicts = self._agreement_of(guess, vectors).contradicts
        if contradicts is not self._contradicted:
            self._contradicted = contradicts
            says = "contradicts" if contradicts else "no longer contradicts"
            logger.warning("model %s %s the running mean", guess.model, says)
        is_trusted = trust.is_trusted and not contradicts
        self._meter.gauge(Metric.MODEL_TRUSTED, is_trusted)
        self._meter.gauge(Metric.MODEL_LEAD, trust.lead)
        return is_trusted

    def _agreement_of(self, guess: "_Guess", vectors: "Sequence[array[float]]") -> Agreement:
        """Give the agreement of the champion with the running mean, with this batch taken in."""
        model, agreement = self._agreed
        if model != guess.model:
            agreement = Agreement()
            self._agreed = guess.model, agreement
        for by_model, vector in zip(guess.log_run[-ENOUGH:], vectors[-ENOUGH:], strict=True):
            agreement.saw(by_model, vector[_RUN])
        return agreement

    def _guess(self, model: Model | None, matrix: Vectors | None) -> "_Guess | None":
        if model is None or matrix is None:
            return None
        try:
            said = model.predict(matrix)
            high = said.log_run_high
            return _Guess(
                model.name,
                said.log_run.tolist(),
                said.failed.tolist(),
                None if high is None else high.tolist(),
            )
        except Exception:
            # Whatever a model or a plugged-in class does, jobs go on by the running mean.
            logger.exception("model %s could not predict", model.name)
            self._meter.count(Metric.MODEL_FAILURES, model=model.name)
            return None


def _is_enabled(standing: Standing | None) -> bool:
    return standing is None or standing.enabled


def matrix_of(vectors: "Sequence[array[float]]") -> Vectors:
    """Put vectors into one matrix, (n_jobs, n_features) float32."""
    flat = np.frombuffer(b"".join(vector.tobytes() for vector in vectors), dtype=np.float32)
    return flat.reshape(len(vectors), len(FEATURES))


def expected_of(
    vector: "array[float]",
    guess: "_Guess | None",
    beside: "_Guess | None",
    place: int,
    *,
    is_trusted: bool,
    logged_at_ms: int | None,
) -> Expected:
    """Put together what is expected of one dispatch: by the model if it is trusted and makes sense."""
    by_mean = vector[_RUN]
    by_model = None if guess is None else guess.log_run[place]
    orders = is_trusted and by_model is not None and math.isfinite(by_model)
    log_run = by_model if orders and by_model is not None else by_mean
    failed = vector[_FAILED]
    log_high = _high_of(vector, log_run)
    if orders and guess is not None:
        failed = guess.failed[place] if math.isfinite(guess.failed[place]) else failed
        if guess.log_run_high is not None and math.isfinite(guess.log_run_high[place]):
            log_high = max(log_run, guess.log_run_high[place])
    model = guess.model if orders and guess is not None else MEAN
    return Expected(
        model,
        run_s_of(log_run),
        None if log_high is None else run_s_of(log_high),
        min(FAILED_MAX, max(0.0, failed)),
        None
        if guess is None or by_model is None
        else Rivals(guess.model, run_s_of(by_model), run_s_of(by_mean)),
        None if logged_at_ms is None else _scored(vector, guess, beside, place, logged_at_ms),
    )


def above(
    expected: Expected,
    job: AcceptedJob,
    vector: "array[float]",
    guess: "_Guess",
    place: int,
    *,
    point: float,
    now_ms: int,
) -> Expected:
    """Note of a first dispatch that its model is nearly certain that it fails.

    What was tried before, diverted before, or redriven by a person is not looked at: it is to run.
    """
    # Also false of what is no number.
    if job.n != 1 or expected.model != guess.model or not guess.failed[place] >= point:
        return expected
    recent, usual = vector[_TYPE_FAILED], vector[_EVER_FAILED]
    foreseen = Foreseen(
        expected.model,
        expected.failed,
        point,
        expected.run_s,
        None if math.isnan(recent) else recent,
        None if math.isnan(usual) else usual,
    )
    # All of these are logged, and the vector only where it would be anyway: what is trained on stays fair.
    scored = expected.scored or Scored(
        now_ms, "", b"", guess.model, guess.log_run[place], guess.failed[place]
    )
    return expected._replace(foreseen=foreseen, scored=scored)


def run_s_of(log_run: float) -> float:
    """Give the run time of a prediction, seconds, > 0."""
    # What is not a number is in no order with anything: it counts as the longest.
    log_run = LOG_RUN_MAX if math.isnan(log_run) else log_run
    return max(1e-3, math.expm1(min(LOG_RUN_MAX, max(LOG_RUN_MIN, log_run))) / 1000)


def _high_of(vector: "array[float]", log_run: float) -> float | None:
    for column in _SPREADS:
        if not math.isnan(vector[column]):
            return log_run + HIGH_OF_SPREAD * vector[column]
    return None


def _scored(
    vector: "array[float]", guess: "_Guess | None", beside: "_Guess | None", place: int, at_ms: int
) -> Scored:
    return Scored(
        at_ms,
        FINGERPRINT,
        vector.tobytes(),
        "" if guess is None else guess.model,
        None if guess is None else guess.log_run[place],
        None if guess is None else guess.failed[place],
        "" if beside is None else beside.model,
        None if beside is None else beside.log_run[place],
        None if beside is None else beside.failed[place],
    )
