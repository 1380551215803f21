"""The probe: the same everywhere, and wide enough to take many ways through a tree."""

import hashlib

import numpy as np

from adapters.learned.plain import EwmaModel
from adapters.learned.probe import PROBES, probe_vectors
from core.learning.features import COLUMN, FEATURES


def test_the_probe_is_the_same_bits_in_every_version_and_on_every_machine() -> None:
    # Models carry what they predict of it: another probe would refuse all of them.
    digest = hashlib.sha256(probe_vectors().astype("<f4").tobytes()).hexdigest()
    assert digest == "e722f9440b84bffba982dc1f226a7cb61ea6ff177f90cecaf644934e99331933"


def test_the_probe_has_every_feature_missing_and_present_and_both_halves_of_its_range() -> None:
    found = probe_vectors()
    assert found.shape == (PROBES, len(FEATURES))
    assert found.dtype == np.float32
    missing = np.isnan(found[1:])
    for name in ("expected_run", "expected_failed", "ever_failed"):
        assert not missing[:, COLUMN[name]].any(), name
    inner = [
        place
        for name, place in COLUMN.items()
        if name not in ("expected_run", "expected_failed", "ever_failed")
    ]
    assert missing[:, inner].any(axis=0).all()
    assert missing.mean() < 0.3
    middle = (np.nanmin(found[1:], axis=0) + np.nanmax(found[1:], axis=0)) / 2
    assert (np.nanmin(found[1:], axis=0) < middle).all()
    assert (found[1:] < middle).any(axis=0).all()
    assert np.array_equal(
        found[0], np.array([feature.default for feature in FEATURES], np.float32), equal_nan=True
    )


def test_plain_models_answer_the_probe_with_numbers() -> None:
    said = EwmaModel().predict(probe_vectors())
    assert np.isfinite(said.log_run).all()
    assert ((said.failed >= 0) & (said.failed <= 1)).all()
