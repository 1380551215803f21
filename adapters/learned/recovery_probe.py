"""Moments that every model of recoveries is asked about before it is used."""

from typing import NamedTuple

import numpy as np

from adapters.learned.probe import PROBES, vectors_of
from core.retrying.ahead import log_odds
from core.retrying.choice import Moment, Subject
from core.retrying.columns import FEATURES
from core.retrying.recovery import Recovery
from core.retrying.survival import log_surviving

AGES_S = (0.0, 45.0, 240.0, 1200.0, 5400.0, 18_000.0, 43_200.0)
"""Probes are as old as these by turns: every stretch is asked about."""
LATER_S = 3600.0
"""How much later it is asked whether an episode is still on."""
BEGIN_S, STEP_S = 1_700_000_000.0, 9_973.0
"""Times of the probes: a step is a prime, so that they spread over hours and days of the week."""


class SaidOfProbe(NamedTuple):
    """What a model says, (PROBES,) each: ``probe_log_run`` and ``probe_failed`` of its manifest."""

    log_odds: tuple[float, ...]
    """Mean over the bins."""
    still_on: tuple[float, ...]
    """Chance that what is on at the age of the probe is so ``LATER_S`` later."""


def said_of_probe(model: Recovery) -> SaidOfProbe:
    """Ask a model about the probe; subjects are those of its own history, so all it carries is asked."""
    keys = model.history.snapshot().keys
    vectors = vectors_of(FEATURES, ())
    odds: list[float] = []
    on: list[float] = []
    for number in range(PROBES):
        age_s = AGES_S[number % len(AGES_S)]
        hazards = model.hazards(
            Moment(
                age_s,
                failures=1 + number % 5,
                tries_left=5,
                now_s=BEGIN_S + number * STEP_S,
                subject=_subject(keys[number * len(keys) // PROBES]) if keys else Subject(),
                features=vectors[number],
            )
        )
        before, after = log_surviving(hazards, np.array([age_s, age_s + LATER_S]))
        odds.append(float(log_odds(hazards).mean()))
        on.append(float(np.exp(after - before)))
    return SaidOfProbe(tuple(odds), tuple(on))


def _subject(key: tuple[str, ...]) -> Subject:
    signature, type_, tenant = (*key, "", "", "")[:3]
    return Subject(tenant, type_, signature)
