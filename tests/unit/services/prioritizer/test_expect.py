"""Whose word orders a dispatch, and that there is one whatever a model does."""

import math
from array import array
from typing import cast

import msgspec
import numpy as np
import pytest
from prometheus_client import generate_latest
from typing_extensions import override

from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.features import COLUMN, FEATURES, FINGERPRINT
from core.learning.spread import Spread
from core.learning.trust import PROVEN_AFTER, Seen, Trusts
from core.learning.vector_budget import VectorBudget
from core.run_times import RunTimes
from ports.feature_view import FeatureView
from ports.models import Model, Predictions, Vectors
from schemas.accepted_job import AcceptedJob
from schemas.models import FailingPoint, Standing
from services.prioritizer.expect import Expected, Expecter
from tests.support.models_under_test import a_standing

NOW_MS = 1_700_000_100_000
JOB = AcceptedJob("e:0:7", "id", "report", "acme", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "", "")
MEAN_LOG_RUN, SPREAD = math.log1p(4000), 0.5


class View:
    """Knows the same of every job."""

    knows = True

    def vectors(self, jobs: list[AcceptedJob], t_ms: int) -> "list[array[float]]":
        vector = array("f", [feature.default for feature in FEATURES])
        vector[COLUMN["expected_run"]] = MEAN_LOG_RUN
        vector[COLUMN["expected_failed"]] = 0.25
        vector[COLUMN["tenant_type.run_spread"]] = SPREAD
        return [vector for _ in jobs]


class Fixed:
    """Says the same of every job."""

    def __init__(self, name: str, log_run: float, failed: float = 0.5, high: float | None = None) -> None:
        self.name = name
        self._said = (log_run, failed, high)

    def predict(self, vectors: Vectors) -> Predictions:
        log_run, failed, high = (
            None if one is None else np.full(len(vectors), one, np.float32) for one in self._said
        )
        assert log_run is not None
        assert failed is not None
        return Predictions(log_run, failed, high)


class Broken:
    name = "broken"

    def predict(self, vectors: Vectors) -> Predictions:
        raise RuntimeError("as plugged in")


class InForce:
    def __init__(
        self,
        champion: object = None,
        shadow: object = None,
        standing: Standing | None = None,
        failing: FailingPoint | None = None,
    ) -> None:
        self.failing = failing
        self.champion = cast("Model | None", champion)
        self.shadow = cast("Model | None", shadow)
        self.standing = standing

    def law(self, pool: str) -> Spread | None:
        return None


class Bench:
    def __init__(
        self,
        in_force: InForce | None,
        *,
        per_s: float = 100.0,
        foresees: bool = False,
        view: View | None = None,
    ) -> None:
        self.trusts = Trusts()
        self.meter = PrometheusMeter()
        self.view = view or View()
        self.expecter = Expecter(
            view=cast("FeatureView", self.view),
            models=in_force,
            run_times=RunTimes(),
            trusts=self.trusts,
            budget=VectorBudget(per_s),
            meter=self.meter,
            foresees=foresees,
        )

    def trust(self, model: str) -> None:
        for number in range(PROVEN_AFTER):
            run = float(number % 7)
            self.trusts.of(model).saw(Seen(run, run, run))

    @property
    def expected(self) -> Expected:
        (one,) = self.expecter.expect([JOB], NOW_MS)
        return one


@pytest.mark.parametrize(
    "in_force", [None, InForce(Fixed("m", 1.0), standing=a_standing("m", enabled=False))]
)
def test_the_rule_orders_where_nothing_learned_may(in_force: InForce | None) -> None:
    expected = Bench(in_force).expected
    assert (expected.model, expected.run_s, expected.failed) == ("rule", 1.0, 0.0)
    assert (expected.rivals, expected.scored) == (None, None)


def test_the_rule_orders_until_anything_is_known() -> None:
    bench = Bench(InForce(Fixed("m", 1.0)))
    bench.view.knows = False
    assert bench.expected.model == "rule"


def test_without_a_model_the_running_mean_orders() -> None:
    expected = Bench(InForce()).expected
    assert (expected.model, expected.failed) == ("ewma", 0.25)
    assert expected.run_s == pytest.approx(4.0)
    assert expected.high_s == pytest.approx(4.001 * math.exp(1.6 * SPREAD) - 0.001)
    assert expected.rivals is None
    assert expected.scored is not None
    assert (expected.scored.features, expected.scored.at_ms) == (FINGERPRINT, NOW_MS)
    assert expected.scored.vector == View().vectors([JOB], 0)[0].tobytes()
    assert expected.scored.candidate == ""


def test_a_model_on_trial_orders_nothing_and_is_watched() -> None:
    expected = Bench(InForce(Fixed("m", math.log1p(9000), 0.75))).expected
    assert (expected.model, expected.failed) == ("ewma", 0.25)
    assert expected.run_s == pytest.approx(4.0)
    assert expected.rivals is not None
    assert (expected.rivals.model, expected.scored and expected.scored.candidate) == ("m", "m")
    assert expected.rivals.by_model_s == pytest.approx(9.0)
    assert expected.rivals.by_mean_s == pytest.approx(4.0)


def test_a_trusted_model_orders() -> None:
    high = math.log1p(20_000)
    bench = Bench(InForce(Fixed("m", math.log1p(9000), 0.75, high), Fixed("s", 2.0, 0.125)))
    bench.trust("m")
    expected = bench.expected
    assert (expected.model, expected.failed) == ("m", 0.75)
    assert expected.run_s == pytest.approx(9.0)
    assert expected.high_s == pytest.approx(20.0)
    assert expected.scored is not None
    assert (expected.scored.shadow, expected.scored.shadow_log_run, expected.scored.shadow_failed) == (
        "s",
        2.0,
        0.125,
    )


@pytest.mark.parametrize(
    "model", [Broken(), Fixed("m", math.nan), Fixed("m", math.inf), Fixed("m", -math.inf)]
)
def test_whatever_a_model_does_jobs_go_by_the_running_mean(model: Fixed | Broken) -> None:
    bench = Bench(InForce(model))
    bench.trust(model.name)
    expected = bench.expected
    assert expected.model == "ewma"
    assert expected.run_s == pytest.approx(4.0)


def test_of_no_jobs_nothing_is_expected() -> None:
    bench = Bench(InForce(Broken()))
    assert bench.expecter.expect([], NOW_MS) == []
    assert b"penstock_model_failures_total{" not in generate_latest(bench.meter.registry)


def test_predictions_are_bounded() -> None:
    bench = Bench(InForce(Fixed("m", 80.0, 7.0)))
    bench.trust("m")
    assert bench.expected.run_s == pytest.approx(30 * 86_400, rel=1e-3)
    assert bench.expected.failed < 1
    bench = Bench(InForce(Fixed("m", -3.0, -7.0)))
    bench.trust("m")
    assert (bench.expected.run_s, bench.expected.failed) == (1e-3, 0.0)


def test_without_a_budget_no_vector_is_logged_and_trust_goes_on() -> None:
    expected = Bench(InForce(Fixed("m", 1.0)), per_s=0.0).expected
    assert expected.scored is None
    assert expected.rivals is not None


POINT = FailingPoint(0.75, 0.95, 0.5, 1.0, 200)


def foresight(
    failed: float,
    job: AcceptedJob = JOB,
    *,
    per_s: float = 100.0,
    trusted: bool = True,
    foresees: bool = True,
) -> Expected:
    bench = Bench(
        InForce(Fixed("m", math.log1p(9000), failed), failing=POINT), per_s=per_s, foresees=foresees
    )
    if trusted:
        bench.trust("m")
    (one,) = bench.expecter.expect([job], NOW_MS)
    return one


def test_what_a_trusted_model_puts_at_or_above_its_point_is_foreseen() -> None:
    expected = foresight(0.75)
    assert expected.foreseen is not None
    assert (expected.foreseen.model, expected.foreseen.probability, expected.foreseen.point) == (
        "m",
        0.75,
        0.75,
    )
    assert expected.foreseen.run_s == pytest.approx(9.0)
    assert expected.foreseen.usual == pytest.approx(FEATURES[COLUMN["ever_failed"]].default)
    assert expected.foreseen.recent is None


def test_nothing_else_is_foreseen() -> None:
    assert foresight(0.7499).foreseen is None
    assert foresight(math.nan).foreseen is None
    assert foresight(0.9, trusted=False).foreseen is None
    assert foresight(0.9, foresees=False).foreseen is None
    assert foresight(0.9, msgspec.structs.replace(JOB, n=2)).foreseen is None


def test_what_is_foreseen_is_logged_always_and_its_vector_only_where_it_would_be_anyway() -> None:
    with_vector, without = foresight(0.9).scored, foresight(0.9, per_s=0.0).scored
    assert with_vector is not None
    assert without is not None
    assert (len(with_vector.vector), with_vector.features) == (4 * len(FEATURES), FINGERPRINT)
    assert (without.vector, without.features) == (b"", "")
    assert (without.candidate, without.log_run) == ("m", with_vector.log_run)
    assert foresight(0.5, per_s=0.0).scored is None


class Turning:
    """Says what the running mean says of a job, until it turns round."""

    name = "m"
    turned = False

    def predict(self, vectors: Vectors) -> Predictions:
        mean = vectors[:, COLUMN["expected_run"]]
        return Predictions(20 - mean if self.turned else mean, np.zeros(len(vectors), np.float32))


class Different(View):
    """Expects something else of every job of a batch."""

    @override
    def vectors(self, jobs: list[AcceptedJob], t_ms: int) -> "list[array[float]]":
        found = [array("f", vector) for vector in super().vectors(jobs, t_ms)]
        for place, vector in enumerate(found):
            vector[COLUMN["expected_run"]] = 5 + place % 7
        return found


def test_a_model_that_turns_round_orders_no_more_before_anything_has_ended() -> None:
    model = Turning()
    bench = Bench(InForce(model), view=Different())
    bench.trust("m")

    def orders(count: int) -> str:
        return bench.expecter.expect([JOB] * count, NOW_MS)[-1].model

    assert [orders(20) for _ in range(10)] == ["m"] * 10
    model.turned = True
    turned = [orders(20) for _ in range(10)]
    assert turned[5:] == ["ewma"] * 5
    assert b"penstock_model_trusted 0.0" in generate_latest(bench.meter.registry)
    # It comes back as it went: trust by ends has not been lost.
    model.turned = False
    assert [orders(20) for _ in range(10)][5:] == ["m"] * 5


def test_another_model_begins_anew() -> None:
    in_force = InForce(Turning())
    bench = Bench(in_force, view=Different())
    for model in ("m", "other"):
        bench.trust(model)
    cast("Turning", in_force.champion).turned = True
    assert bench.expecter.expect([JOB] * 100, NOW_MS)[0].model == "ewma"
    in_force.champion = cast("Model", Fixed("other", 1.0))
    assert bench.expecter.expect([JOB], NOW_MS)[0].model == "other"
