"""Small models of recoveries, and what they are made of."""

from functools import cache

import msgspec
import numpy as np

from adapters.learned.heads import Head
from adapters.learned.recovery import RecoveryModel
from adapters.learned.recovery_bytes import pack_recovery, unpack_recovery
from adapters.learned.recovery_probe import said_of_probe
from adapters.learned.retry_training import Failures, train_hazard
from core.retrying.ahead import STRETCHES
from core.retrying.choice import Moment, Subject
from core.retrying.columns import COLUMN
from core.retrying.evidence import Evidence
from core.retrying.features import Failure, features
from core.retrying.history import History, Seen
from ports.training import RECOVERY
from schemas.models import ModelManifest, Purpose
from tests.support.models_under_test import a_manifest

SPEAKING = "type.streak"
"""The feature that says how soon the episodes below recover."""
EPISODES = 200


def a_history() -> History:
    """Give what was seen of some episodes of some subjects."""
    dice = np.random.default_rng(3)
    history = History()
    for _ in range(60):
        failing_s = float(dice.exponential(200.0))
        texts = (f"t{dice.integers(3)}", f"k{dice.integers(3)}", f"e{dice.integers(3)}")
        history.add(Subject(*texts), Seen(failing_s, failing_s * 2 if dice.random() < 0.8 else None))
    return history


@cache
def a_head(rounds: int = 20) -> Head:
    """Train on episodes that recover after a minute where a feature says so, else after an hour."""
    vectors = np.array([features(Failure(1, 1, 0.0, 1e6), {})] * EPISODES)
    quick = np.arange(EPISODES) % 2 == 0
    vectors[:, COLUMN[SPEAKING]] = quick
    seen = [Seen(age_s * 0.9, age_s * 1.1) for age_s in np.where(quick, 60.0, 3600.0).tolist()]
    zeros = np.zeros(EPISODES)
    failures = Failures(vectors, zeros, zeros + 1e6, np.full((EPISODES, STRETCHES), 0.05), seen)
    return train_hazard(failures, rounds=rounds)


def a_moment(*, quick: bool, age_s: float = 0.0) -> Moment:
    """Give a moment of which the head above has something to say."""
    vector = features(Failure(1, 1, age_s, 1e6), {})
    vector[COLUMN[SPEAKING]] = quick
    return Moment(age_s, 1, 5, now_s=1e6, subject=Subject("t1", "k1", "e1"), features=vector)


def a_recovery(minute: int = 0, evidence: Evidence | None = None) -> tuple[ModelManifest, bytes]:
    """Give the bytes of a model, and a manifest that says what it predicts of the probe."""
    data = pack_recovery(a_history(), a_head(), evidence)
    return speaking_of(data, minute), data


def speaking_of(data: bytes, minute: int = 0) -> ModelManifest:
    """Speak of some bytes as of the model above."""
    said = said_of_probe(RecoveryModel("", *unpack_recovery(pack_recovery(a_history(), a_head()))))
    return msgspec.structs.replace(
        a_manifest(data, minute, purpose=Purpose.RETRY),
        kind=RECOVERY,
        probe_log_run=said.log_odds,
        probe_failed=said.still_on,
    )
