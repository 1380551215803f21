"""Vectors that every model is asked about before it is used: it must answer as it did where it was made."""

from collections.abc import Collection, Sequence

import numpy as np

from core.feature import Feature
from core.learning.features import FEATURES
from ports.models import Vectors

PROBES = 64
MISSING_OF = 5
"""One value in so many is missing, so that trees go their default ways too."""
_SPAN = {
    "share": 1.0,
    "status": 3.0,
    "attempts": 4.0,
    "level": 9.0,
    "dispatches": 200.0,
    "ends": 50.0,
    "log ratio": 4.0,
    "s": 100_000.0,
    "h of the day, UTC": 24.0,
    "day, Monday 0": 7.0,
}
_LOG_SPAN = 16.0
"""Of units on a logarithm: nine million seconds, or two and a half hours in ms."""
_STEP = 2_654_435_761
"""Knuth's multiplier (2**32 divided by the golden ratio): spreads neighbours over the range."""
NEVER_MISSING = frozenset({"expected_run", "expected_failed", "ever_failed"})
"""Features that a vector has whatever is known."""


def probe_vectors() -> Vectors:
    """Give the probe of models that order jobs; see ``vectors_of``."""
    return vectors_of(FEATURES, NEVER_MISSING)


def vectors_of(features: Sequence[Feature], never_missing: Collection[str]) -> Vectors:
    """Give a probe: (PROBES, n_features) float32, the same bits on every machine and in every version.

    Values spread over what each feature can be; the first row holds the defaults. Integers, and one division
    by a power of two: nothing here rounds differently anywhere.
    """
    rows = np.arange(1, PROBES + 1, dtype=np.uint64)[:, None]
    columns = np.arange(1, len(features) + 1, dtype=np.uint64)[None, :]
    mixed = (rows * np.uint64(_STEP) + columns * np.uint64(_STEP // 7) * rows) % np.uint64(2**32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(_STEP) % np.uint64(2**32)
    spans = np.array([_SPAN.get(feature.unit, _LOG_SPAN) for feature in features])
    # Sixteen bits and a span of few are exact in a double, and in the float32 they are cut to.
    found: Vectors = ((mixed >> np.uint64(16)).astype(np.float64) / 65_536 * spans).astype(np.float32)
    may_miss = np.array([feature.name not in never_missing for feature in features])
    found[(mixed % np.uint64(MISSING_OF) == 0) & may_miss] = np.nan
    found[0] = [feature.default for feature in features]
    return found
