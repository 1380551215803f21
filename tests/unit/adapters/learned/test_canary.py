"""What is refused before a model is even tried out, and what its predictions must be like."""

import logging
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.learned.canary import TOLERANCE, Canary, compare
from adapters.learned.settings import ModelTrust
from adapters.learned.trial_terms import Tried
from ports.model_watch import RefusedModelError
from ports.training import RECOVERY
from schemas.model_signature import is_signed, signed
from schemas.models import ModelManifest, Purpose
from tests.support.models_under_test import NAMES, a_manifest

KEY = b"a key that nobody knows"
DATA = b"no model at all"
NEVER = ("false",)
"""Would end without an answer, so that who starts it is refused otherwise."""


async def refusal(manifest: ModelManifest, key: bytes | None = None, data: bytes = DATA) -> str:
    with pytest.raises(RefusedModelError) as refused:
        await Canary(key, command=NEVER).try_out(manifest, data)
    return str(refused.value)


async def test_bytes_of_another_digest_are_refused() -> None:
    assert "digest" in await refusal(a_manifest(b"something else"))


async def test_with_a_key_only_what_is_signed_with_it_is_tried() -> None:
    manifest = a_manifest(DATA)
    assert "not signed" in await refusal(manifest, KEY)
    assert "another key" in await refusal(signed(manifest, b"another key of somebody"), KEY)
    changed = msgspec.structs.replace(signed(manifest, KEY), judged="better than it was")
    assert "changed since" in await refusal(changed, KEY)
    # Past the signature, it is the bytes that are refused.
    assert "no model of Penstock" in await refusal(signed(manifest, KEY), KEY)
    assert "no model of Penstock" in await refusal(manifest)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (NAMES[:-1], f"it lacks {NAMES[-1]}: train a model with this version"),
        ((*NAMES, "moon"), "it has moon"),
        ((*NAMES[1:], "a", "b", "c", "d"), f"it has a, b, c and 1 more and lacks {NAMES[0]}"),
        ((NAMES[1], NAMES[0], *NAMES[2:]), "another order"),
    ],
)
async def test_other_features_are_refused_and_named(features: tuple[str, ...], words: str) -> None:
    assert words in await refusal(a_manifest(DATA, features=features))


async def test_a_kind_nobody_can_load_is_refused() -> None:
    assert "none of boosted, tree" in await refusal(msgspec.structs.replace(a_manifest(DATA), kind="oracle"))


async def test_a_model_is_refused_for_what_it_is_not_for() -> None:
    recovery = msgspec.structs.replace(a_manifest(DATA, purpose=Purpose.RETRY), kind=RECOVERY)
    assert "it is for 'retry', not 'order'" in await refusal(recovery)
    canary = Canary(None, command=NEVER)
    for manifest, words in (
        (a_manifest(DATA), "it is for 'order', not 'retry'"),
        (msgspec.structs.replace(recovery, kind="boosted"), "none of recovery"),
        (msgspec.structs.replace(recovery, features=NAMES), "train a model with this version"),
        (recovery, "no recovery model of Penstock"),
    ):
        with pytest.raises(RefusedModelError, match=words):
            await canary.try_out_recovery(manifest, DATA)


def test_without_a_key_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Canary(None)
        Canary(KEY)
    assert caplog.text.count("PENSTOCK_MODEL_KEY") == 1


NUMBERS = st.floats(-20, 20)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5), st.data())
def test_predictions_may_differ_by_the_tolerance_and_not_by_more(
    values: list[tuple[float, float]], draw: st.DataObject
) -> None:
    there = tuple(value for value, _ in values)
    manifest = msgspec.structs.replace(a_manifest(DATA), probe_log_run=there, probe_failed=there)
    compare(manifest, Tried("", tuple(value + 0.9 * TOLERANCE for value in there), there))
    if not values:
        return
    harmed = draw.draw(st.integers(0, len(values) - 1))
    for wrong in (values[harmed][1], float("nan")):
        if abs(wrong - there[harmed]) <= TOLERANCE:
            continue
        here = (*there[:harmed], wrong, *there[harmed + 1 :])
        with pytest.raises(RefusedModelError, match="away from what it was"):
            compare(manifest, Tried("", there, here))


def test_a_manifest_without_predictions_proves_nothing() -> None:
    with pytest.raises(RefusedModelError, match="0 predictions"):
        compare(a_manifest(DATA), Tried("", (1.0,), (0.1,)))


@given(st.binary(min_size=1), st.binary(min_size=1), st.text(max_size=5))
def test_a_signature_holds_for_one_key_and_all_of_the_manifest(key: bytes, other: bytes, judged: str) -> None:
    manifest = a_manifest(DATA)
    mine = signed(manifest, key)
    assert is_signed(mine, key)
    assert is_signed(msgspec.json.decode(msgspec.json.encode(mine), type=ModelManifest), key)
    assert is_signed(mine, other) == (key.rstrip(b"\0") == other.rstrip(b"\0"))
    assert is_signed(msgspec.structs.replace(mine, judged=judged), key) == (judged == "")
    assert not is_signed(manifest, key)


def test_a_key_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ModelTrust().key_bytes is None
    # As Compose passes on what nobody has set.
    monkeypatch.setenv("PENSTOCK_MODEL_KEY", "")
    assert ModelTrust().key_bytes is None
    monkeypatch.setenv("PENSTOCK_MODEL_KEY", "0123456789abcdef")
    assert ModelTrust().key_bytes == b"0123456789abcdef"
    assert "0123456789abcdef" not in repr(ModelTrust())
    monkeypatch.setenv("PENSTOCK_MODEL_KEY", "short")
    with pytest.raises(ValueError, match="at least 16"):
        ModelTrust()


def test_who_only_can_try_models_out_has_not_loaded_xgboost() -> None:
    program = "import sys, adapters.learned.canary; print('xgboost' in sys.modules or 'scipy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
