"""From logged decisions to a model: what it is made of, how it is judged, and what it must not see."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from adapters.learned import making
from adapters.learned.boosted import BoostedModel, gains_of
from adapters.learned.heads import Heads, pack, unpack
from adapters.learned.logged import Logged
from adapters.learned.making import carried_out, moved_laws, window_of
from adapters.learned.plain import EwmaModel
from adapters.learned.probe import probe_vectors
from adapters.learned.rows import NOT_ENDED
from adapters.learned.training import Recipe, recipe_for, train
from adapters.learned.trial import tried
from core.learning import verdict
from core.learning.drift import LIVE_ENDS
from core.learning.enough import Enough
from core.learning.events import Status
from core.learning.features import COLUMN
from core.learning.verdict import CHAMPION, PLAIN
from ports.training import Found, Kind, Order, When
from schemas.models import ModelManifest, PoolLaw, put_together, sha256_of
from tests.support.logged_rows import first_of, logged, quiet, with_predictions

NOW_MS = 1_800_000_000_000
ENDED_STATES = 3


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rounds and draws: what is tested here is what is trained on, not how well."""

    def recipe(kind: Kind, limit_ms: int, seed: int) -> Recipe:
        shipped = recipe_for(kind, limit_ms, seed)
        if kind is Kind.TREE:
            return shipped
        return replace(shipped, run_rounds=(10, 10), failed_rounds=(15,) * 4)

    monkeypatch.setattr(making, "recipe_for", recipe)
    monkeypatch.setattr(making, "ROUNDS", 10)


def an_order(champion: ModelManifest | None = None, kind: Kind = Kind.BOOSTED, *laws: PoolLaw) -> Order:
    return Order(
        now_ms=NOW_MS,
        by="trainer",
        when=When.NOW,
        code_version="1",
        kind=kind,
        rows_max=10_000,
        enough=Enough(0, 0, 0),
        champion=champion,
        laws=laws,
    )


def made(of: Logged, order: Order | None = None, champion: bytes = b"") -> tuple[Found, ModelManifest, bytes]:
    found, data = carried_out(order or an_order(), champion, of, "", quiet)
    assert found.model is not None, found.waits_for
    return found, found.model, data


def test_a_model_is_judged_on_the_newest_fifth_and_trained_on_what_came_before() -> None:
    of = logged()
    window = window_of(of)
    ended = np.flatnonzero(of.has_ended)
    assert len(window.judged) == pytest.approx(0.2 * len(ended), abs=2)
    assert (of.rows.decided_ms[window.judged] >= window.cut_ms).all()
    found, manifest, data = made(of)
    assert manifest.cut_ms == window.cut_ms
    assert manifest.rows == (of.rows.decided_ms < window.cut_ms).sum()
    assert found.ends == len(ended)
    assert {"failed_logloss", "run_spearman", "failed_pr_auc"} <= manifest.metrics.keys()
    assert manifest.beside.keys() == {PLAIN}
    assert manifest.id.endswith(sha256_of(data)[:8])
    assert put_together(manifest, {0: data}) == data


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_made_passes_the_trial_that_prioritizers_make(kind: Kind) -> None:
    _, manifest, data = made(logged(), an_order(None, kind))
    assert manifest.kind == kind
    answer = tried(data)
    assert not answer.problem
    assert answer.log_run == pytest.approx(manifest.probe_log_run, abs=1e-4)
    assert answer.failed == pytest.approx(manifest.probe_failed, abs=1e-4)
    said = BoostedModel("m", unpack(data)).predict(probe_vectors())
    assert ((said.failed >= 0) & (said.failed <= 1)).all()


def test_a_tree_is_one_tree_a_head_and_says_means() -> None:
    heads = train(logged().rows, NOW_MS, recipe_for(Kind.TREE, 7_200_000))
    assert [head.rounds for head in (*heads.run, *heads.failed)] == [1, 1]
    said = BoostedModel("tree", heads).predict(logged().rows.vectors)
    failed = logged().has_failed
    assert said.failed.mean() == pytest.approx(failed.mean(), rel=0.5)
    assert said.failed[failed].mean() > 5 * said.failed[~failed].mean()


def with_another_end_of_what_is_known_after(of: Logged, cut_ms: int) -> Logged:
    """Change every label that nobody could know at the cut."""
    rows = of.rows
    late = (rows.ended_ms == NOT_ENDED) | (rows.ended_ms >= cut_ms)
    assert late[rows.decided_ms < cut_ms].sum() > 0
    return replace(
        of,
        rows=replace(
            rows,
            run_ms=np.where(late, rows.run_ms * 7 + 1, rows.run_ms),
            status=np.where(late, (rows.status + 1) % ENDED_STATES, rows.status).astype(np.int8),
        ),
    )


def test_a_label_that_is_known_only_after_the_cut_does_not_enter_a_model() -> None:
    of = logged()
    # Ends are known up to half a day late, so some are at the cut that have not been told.
    late_ms = np.arange(len(of)) % 12 * 3_600_000
    of = replace(
        of, rows=replace(of.rows, ended_ms=np.where(of.has_ended, of.rows.ended_ms + late_ms, NOT_ENDED))
    )
    cut_ms = window_of(of).cut_ms
    _, _, one = made(of)
    _, _, other = made(with_another_end_of_what_is_known_after(of, cut_ms))
    assert one == other
    # The same change a day earlier is seen.
    _, _, seen = made(with_another_end_of_what_is_known_after(of, cut_ms - 86_400_000))
    assert seen != one


def test_what_was_decided_after_the_cut_does_not_enter_a_model() -> None:
    of = logged()
    cut_ms = window_of(of).cut_ms
    vectors = of.rows.vectors.copy()
    vectors[of.rows.decided_ms >= cut_ms] += 1
    changed = replace(of, rows=replace(of.rows, vectors=vectors))
    assert made(changed)[2] == made(of)[2]


def test_a_champion_is_judged_beside_and_named_as_parent() -> None:
    _, champion, data = made(logged())
    found, manifest, _ = made(logged(), an_order(champion), data)
    assert manifest.parent == champion.id
    assert manifest.beside.keys() == {PLAIN, CHAMPION}
    # It is the same model, so it is judged the same.
    assert manifest.beside[CHAMPION] == manifest.metrics == champion.metrics
    assert found.drift is not None


def test_nothing_to_learn_from_is_said_and_makes_nothing() -> None:
    none = first_of(logged(), 0)
    found, data = carried_out(an_order(), b"", none, "", quiet)
    assert (found.model, data) == (None, b"")
    assert "0 jobs have ended" in found.waits_for
    fine = logged()
    fine = replace(fine, rows=replace(fine.rows, status=np.zeros_like(fine.rows.status)))
    found, _ = carried_out(an_order(), b"", fine, "", quiet)
    assert "nothing to tell apart" in found.waits_for


def a_champion(of: Logged) -> ModelManifest:
    """A model that was made a fifth before the end of these rows."""
    made_ms = window_of(of).cut_ms
    _, manifest, _ = made(first_of(of, int((of.rows.decided_ms < made_ms).sum())))
    return msgspec.structs.replace(manifest, created_ms=made_ms)


def test_drift_is_looked_for_in_what_the_champion_said_at_the_time() -> None:
    of = logged(LIVE_ENDS + 1_000, seed=5)
    champion = a_champion(of)
    said = EwmaModel().predict(of.rows.vectors)
    log_run, failed = said.log_run.astype(np.float64), said.failed.astype(np.float64)
    order = an_order(champion)
    for predictions, drifted in ((log_run, False), (-log_run, True)):
        found, _ = carried_out(order, b"", with_predictions(of, predictions, failed), "not now", quiet)
        assert found.drift is not None
        assert found.drift.drifted == drifted, found.drift.words
        assert found.drift.measures["live_ends"] == LIVE_ENDS
    # It was asked about too few of them.
    few = np.where(np.arange(len(of)) < len(of) - 500, np.nan, -log_run)
    found, _ = carried_out(order, b"", with_predictions(of, few, failed), "not now", quiet)
    assert found.drift is not None
    assert not found.drift.drifted
    assert "are needed" in found.drift.words


def test_columns_that_moved_since_it_was_made_are_drift() -> None:
    of = logged(3 * LIVE_ENDS + 6_000, seed=6)
    heads = train(of.rows, NOW_MS, Recipe(7_200_000, run_rounds=(5, 5), failed_rounds=(5,) * 4))
    made_ms = int(of.rows.decided_ms[len(of) * 2 // 3])
    _, manifest, _ = made(first_of(of, 2_500))
    champion = msgspec.structs.replace(manifest, begin_ms=0, cut_ms=made_ms, created_ms=made_ms)
    assert _drift_by_columns(champion, heads, of) is False
    vectors = of.rows.vectors.copy()
    late = of.rows.decided_ms >= made_ms
    for column in np.argsort(-gains_of(heads))[:40]:
        vectors[late, column] = np.nan_to_num(vectors[late, column]) * 2 + 3
    assert _drift_by_columns(champion, heads, replace(of, rows=replace(of.rows, vectors=vectors)))


def _drift_by_columns(champion: ModelManifest, heads: Heads, of: Logged) -> bool:
    found = making.drifted(an_order(champion), unpack(pack(heads)), of)
    assert found is not None
    assert "psi" in found.measures
    return "columns moved" in found.words


def test_costs_of_a_pool_are_told_when_they_have_moved_and_not_while_they_wander() -> None:
    of = logged()
    (law,) = moved_laws(an_order(), of)
    assert (law.pool, law.ends, law.at_ms) == ("default", int(of.has_ended.sum()), NOW_MS)
    assert 0 < law.low_s < law.high_s
    assert moved_laws(an_order(None, Kind.BOOSTED, law), of) == ()
    for factor, moves in ((1.05, False), (100.0, True)):
        run_ms = (of.rows.run_ms * factor).astype(np.int64)
        other = replace(of, rows=replace(of.rows, run_ms=run_ms))
        assert bool(moved_laws(an_order(None, Kind.BOOSTED, law), other)) == moves
    assert moved_laws(an_order(), first_of(of, 50)) == ()


def test_gains_name_the_column_a_model_splits_by() -> None:
    of = logged()
    vectors = np.zeros_like(of.rows.vectors)
    vectors[:, COLUMN["expected_run"]] = of.rows.vectors[:, COLUMN["expected_run"]]
    vectors[:, COLUMN["payload"]] = of.rows.status == Status.FAILED
    rows = replace(of.rows, vectors=vectors)
    gains = gains_of(train(rows, NOW_MS, recipe_for(Kind.TREE, 7_200_000)))
    assert int(np.argmax(gains)) == COLUMN["payload"]


def test_a_manifest_says_from_where_on_failures_are_nearly_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    of = logged()
    assert made(of)[1].failing is None, "there is too little evidence"
    monkeypatch.setattr(verdict, "LEAST_FAILURES", 5)
    monkeypatch.setattr(verdict, "POINT_LEAST", 1)
    monkeypatch.setattr(verdict, "POINT_PRECISION", 0.05)
    _, manifest, data = made(of)
    assert manifest.failing is not None
    judged = window_of(of).judged
    said = BoostedModel("m", unpack(data)).predict(of.rows.vectors[judged]).failed.astype(np.float64)
    above, failed = said >= manifest.failing.probability, of.has_failed[judged]
    assert above.sum() == manifest.failing.above
    assert failed[above].mean() == manifest.failing.precision >= verdict.POINT_PRECISION
    assert (failed & above).sum() / failed.sum() == manifest.failing.recall
