"""Learned hazards and chances, from boosters as bytes."""

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from adapters.learned.boosted import booster_of
from adapters.learned.heads import Head
from core.retrying.ahead import first_ahead, merged, rows_ahead, with_ahead
from core.retrying.bins import Floats, Vector
from core.retrying.choice import Hazards, Moment

TRUSTED = np.float32(0.8)
"""Share of the trees' correction that is used. What they say hardly ever recovers does so more often, and
giving up wrongly is dear: on two stretches of recorded days the cost fell by 12 % and by 1 %."""


class Correction:
    """What trees add to hazards of a history.

    Whoever loads a head from elsewhere tries it in a throwaway process first (``adapters/learned/trees.py``).
    """

    def __init__(self, head: Head) -> None:
        self._booster = booster_of(head)

    def of(self, by_history: Floats, moment: Moment) -> Floats:
        """Give the hazards, (n_bins,), from history's: as they are where a moment has no features."""
        if moment.features is None:
            return by_history
        stretches = merged(by_history)
        rows = rows_ahead(moment.features, moment.age_s, moment.now_s, stretches)
        margin = np.ascontiguousarray(rows[:, -1])
        odds = self._booster.inplace_predict(
            rows, base_margin=margin, predict_type="margin", validate_features=False
        )
        if not np.isfinite(odds).all():
            return by_history
        hedged = margin + TRUSTED * (odds - margin)
        return with_ahead(stretches, first_ahead(moment.age_s), np.asarray(hedged, np.float64))


class LearnedHazards(Hazards):
    """History's hazards, corrected by a model where a moment has features; else as they are."""

    def __init__(self, head: Head, history: Hazards) -> None:
        self._correction = Correction(head)
        self._history = history

    @override
    def hazards(self, moment: Moment) -> Floats:
        return self._correction.of(self._history.hazards(moment), moment)


class LearnedChance:
    """The chance that the next try works, uncalibrated."""

    def __init__(self, head: Head) -> None:
        self._booster = booster_of(head)

    def of(self, vectors: Vector) -> NDArray[np.float64]:
        """Give the chance of each row, (n_rows,) in (0, 1)."""
        found = self._booster.inplace_predict(vectors, validate_features=False)
        return np.asarray(found, np.float64)
