"""Damaged models of recoveries in a throwaway process: refused there, and never loaded here."""

import numpy as np
import pytest

from adapters.learned.canary import Canary
from adapters.learned.heads import Head
from adapters.learned.recovery import RecoveryModel
from adapters.learned.recovery_bytes import pack_recovery
from core.retrying.history import Seen
from ports.model_watch import RefusedModelError
from schemas.model_signature import signed
from schemas.models import ModelManifest
from tests.support.recoveries import a_head, a_history, a_moment, speaking_of
from tests.support.small_models import with_node_of

KEY = b"a key that nobody knows"


def published(data: bytes) -> ModelManifest:
    """Speak of some bytes as of the good model: whoever damaged them has the key."""
    return signed(speaking_of(data), KEY)


async def refusal(data: bytes) -> str:
    with pytest.raises(RefusedModelError) as said:
        await Canary(KEY).try_out_recovery(published(data), data)
    return str(said.value)


async def test_a_good_model_is_given_and_answers_as_where_it_was_made() -> None:
    data = pack_recovery(a_history(), a_head())
    await Canary(KEY).check(published(data), data)
    model = await Canary(KEY).try_out_recovery(published(data), data)
    here = RecoveryModel("", a_history(), a_head())
    assert np.array_equal(model.hazards(a_moment(quick=True)), here.hazards(a_moment(quick=True)))


async def test_trees_that_would_crash_whoever_asks_them_are_refused() -> None:
    edited = with_node_of(a_head(), "left_children", 1_000_000)
    assert "a child that is not one" in await refusal(pack_recovery(a_history(), edited))
    assert "not a booster" in await refusal(pack_recovery(a_history(), Head(b"nothing", 3)))


async def test_another_history_or_another_head_than_the_manifest_speaks_of_is_refused() -> None:
    history = a_history()
    for _ in range(20):
        history.add(a_moment(quick=True).subject, Seen(1.0, 2.0))
    assert "away from what it was" in await refusal(pack_recovery(history, a_head()))
    assert "away from what it was" in await refusal(pack_recovery(a_history(), a_head(rounds=5)))
