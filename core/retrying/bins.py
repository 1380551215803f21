"""Ages of an episode, cut into bins that grow with age.

An *episode* begins with a failure where things worked before and ends with the first success after it. Its
*age* is the time since it began. Seconds decide about the first minute and hours about the first day, so
bins are as wide as they are old.
"""

import numpy as np
from numpy.typing import NDArray

from core.wheel import TICK_MS

Floats = NDArray[np.float64]
Vector = NDArray[np.float32]

TICK_S = TICK_MS / 1000
"""The wheel waits in steps of this, seconds: no delay is finer."""
HORIZON_S = 86_400.0
"""Nothing is planned beyond this age: of the recorded episodes that recover, nine in ten do within 27 h."""
BINS = 96
"""The ratio of neighbouring edges is 1.14: less than the jitter that any plan allows itself."""
EDGES_S: Floats = np.r_[0.0, np.geomspace(TICK_S, HORIZON_S, BINS)]
"""(``BINS`` + 1,) rising; bin ``k`` reaches from edge ``k`` to before edge ``k + 1``."""
EDGES_S.flags.writeable = False


def bin_of(age_s: float) -> int:
    """Give the bin of an age; ages beyond the horizon are in the last."""
    return int(np.clip(np.searchsorted(EDGES_S, age_s, side="right") - 1, 0, BINS - 1))


def exposure(from_s: float, until_s: float) -> Floats:
    """Give the share of each bin that lies between two ages, (n_bins,) in [0, 1]."""
    overlap = np.minimum(EDGES_S[1:], until_s) - np.maximum(EDGES_S[:-1], from_s)
    shares: Floats = np.clip(overlap, 0.0, None) / np.diff(EDGES_S)
    return shares
