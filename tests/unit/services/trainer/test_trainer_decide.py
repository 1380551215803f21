"""When the trainer trains, and what it says about who orders."""

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.enough import Counts, Enough, missing
from ports.training import PROMOTABLE, DriftFound, Kind, When
from schemas.model_book import ModelBook
from schemas.models import ModelManifest, Standing
from services.trainer.decide import (
    BY,
    Plan,
    after_drift,
    after_model,
    order_of,
    pause_s,
    unfinished,
    when,
)
from tests.support.models_under_test import CREATED_MS, a_manifest, a_standing, some_bytes

PLAN = Plan(3600.0, Kind.BOOSTED, 1000, Enough(100, 10, 50), promote=True, code_version="1")
DRIFTED = DriftFound(drifted=True, words="drifted: columns moved")
YES, NO = f"{PROMOTABLE}: not worse", "not to be promoted: worse"
ids = st.none() | st.sampled_from(["a", "b", "c"])
standings = st.none() | st.builds(
    Standing,
    ids,
    ids,
    ids,
    st.booleans(),
    st.integers(0, 2 * CREATED_MS),
    st.sampled_from([BY, "ann"]),
    st.just(""),
)


def a_model(minute: int = 0, *, judged: str = YES, parent: str = "", by: str = BY) -> ModelManifest:
    return msgspec.structs.replace(
        a_manifest(some_bytes(minute, 1000), minute), judged=judged, parent=parent, by=by
    )


def a_book(*models: ModelManifest, standing: Standing | None = None) -> ModelBook:
    book = ModelBook()
    book.manifests = {model.id: model for model in models}
    book.standing = standing
    return book


@given(standings, st.sampled_from([YES, NO]), ids, st.booleans())
def test_a_model_takes_the_place_only_of_the_champion_it_was_judged_against(
    standing: Standing | None, judged: str, parent: str | None, promote: bool
) -> None:
    made = a_model(judged=judged, parent=parent or "")
    said = after_model(a_book(made, standing=standing), made, promote=promote, at_ms=CREATED_MS)
    champion = None if standing is None else standing.champion
    if standing is not None and not standing.enabled:
        assert said is None
        return
    assert said is not None
    assert said.enabled
    if promote and judged == YES and champion == parent:
        assert (said.champion, said.previous, said.shadow) == (made.id, champion, None)
    else:
        assert (said.champion, said.shadow) == (champion, made.id)
        assert said.previous == (None if standing is None else standing.previous)
    assert said.reason == judged


@given(standings, st.booleans(), ids)
def test_drift_takes_down_the_champion_it_was_seen_in_and_nobody_else(
    standing: Standing | None, drifted: bool, looked_at: str | None
) -> None:
    drift = DriftFound(drifted=drifted, words="why")
    said = after_drift(a_book(standing=standing), looked_at or "", drift, at_ms=CREATED_MS)
    falls = standing is not None and standing.enabled and drifted and standing.champion == (looked_at or "")
    if not falls:
        assert said is None
        return
    assert said is not None
    assert (said.champion, said.previous, said.enabled) == (None, looked_at, True)
    assert (said.reason, said.by) == ("why", BY)


def test_saying_it_again_says_nothing() -> None:
    made = a_model()
    said = after_model(a_book(made), made, promote=True, at_ms=CREATED_MS)
    assert after_model(a_book(made, standing=said), made, promote=True, at_ms=CREATED_MS + 1) is None
    down = after_drift(a_book(made, standing=said), made.id, DRIFTED, at_ms=CREATED_MS)
    assert down is not None
    assert after_drift(a_book(made, standing=down), made.id, DRIFTED, at_ms=CREATED_MS + 1) is None


def test_a_model_of_ours_that_nothing_was_said_about_is_found_once() -> None:
    made, older = a_model(5), a_model(1)
    assert unfinished(a_book()) is None
    assert unfinished(a_book(older, made)) == made
    before, after = a_standing(), msgspec.structs.replace(a_standing(), at_ms=made.created_ms)
    assert unfinished(a_book(older, made, standing=before)) == made
    assert unfinished(a_book(older, made, standing=after)) is None
    # Whoever switched models off wants to hear nothing of it.
    assert unfinished(a_book(made, standing=a_standing(enabled=False))) is None
    # What a person publishes, that person promotes.
    assert unfinished(a_book(a_model(5, by="cli:ann"))) is None
    foreign = msgspec.structs.replace(made, features=("another",))
    assert unfinished(a_book(foreign)) is None


def test_it_is_time_after_a_period_and_at_once_when_the_champion_fell_out() -> None:
    made = a_model()
    late, early = made.created_ms + 3_600_000, made.created_ms + 3_599_999
    assert when(None, None, early, 3600) is When.DUE
    assert when(made, None, early, 3600) is When.NEVER
    assert when(made, None, late, 3600) is When.DUE
    down = after_drift(a_book(made, standing=a_standing(made.id)), made.id, DRIFTED, at_ms=early - 1)
    assert when(made, down, early, 3600) is When.DUE
    # People who take a champion down do not ask for another.
    by_people = a_standing(None, made.id)
    assert when(made, by_people, early, 3600) is When.NEVER


def test_an_order_speaks_of_models_that_this_version_can_ask() -> None:
    mine, foreign = a_model(1), msgspec.structs.replace(a_model(9), features=("another",))
    order = order_of(a_book(mine, foreign, standing=a_standing(mine.id)), PLAN, CREATED_MS + 60_000)
    assert (order.newest, order.champion, order.when) == (mine, mine, When.NEVER)
    order = order_of(a_book(mine, foreign, standing=a_standing(foreign.id)), PLAN, CREATED_MS + 60_000)
    assert (order.newest, order.champion) == (mine, None)
    order = order_of(a_book(foreign, standing=a_standing(foreign.id)), PLAN, CREATED_MS + 60_000)
    assert (order.newest, order.champion, order.when) == (None, None, When.DUE)
    disabled = a_standing(mine.id, enabled=False)
    assert order_of(a_book(mine, standing=disabled), PLAN, CREATED_MS).champion is None


@given(st.floats(0.1, 1e4), st.floats(0, 1e6), st.integers(0, 10_000))
def test_failures_in_a_row_make_pauses_longer_up_to_a_period(
    check_s: float, every_s: float, failures: int
) -> None:
    pause = pause_s(check_s, every_s, failures)
    assert check_s <= pause <= max(check_s, every_s)
    assert pause <= pause_s(check_s, every_s, failures + 1)
    assert pause_s(check_s, every_s, 0) == check_s


@dataclass(frozen=True)
class Case:
    counts: Counts
    has_model: bool
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Case(Counts(99, 50, 99), has_model=False, said="99 ends"),
        Case(Counts(100, 9, 100), has_model=False, said="9 failures"),
        Case(Counts(100, 91, 100), has_model=False, said="9 of 100 ends are no failures"),
        Case(Counts(100, 10, 49), has_model=True, said="49 jobs were scored and ended"),
        Case(Counts(100, 10, 0), has_model=False, said=""),
        Case(Counts(100, 10, 50), has_model=True, said=""),
    ],
)
def test_what_is_missing_to_train_is_said(case: Case) -> None:
    said = missing(case.counts, Enough(100, 10, 50), has_model=case.has_model)
    assert case.said in said
    assert bool(case.said) == bool(said)
