"""Guards outside the models: which starts go to the oldest job, whatever any score says."""

import math
from typing import NamedTuple

from core.head_order import Turn

NO_SHARE = 1e-9
"""A share below this is none: its one start would come after a thousand million others, or never."""


class StartGuard(NamedTuple):
    """What no prediction can take away.

    ``oldest_share`` of the slots is for the jobs that are ready longest, once they are so for ``patience_s``:
    a wrong model starves nobody while the pool makes progress. Above ``max_wait_s`` the oldest is promoted
    whatever is free.
    """

    oldest_share: float = 0.1
    max_wait_s: float = math.inf
    patience_s: float = 0.0


def turn(guard: StartGuard, slots: int, oldest_running: int, started: int, oldest_wait_s: float) -> Turn:
    """Say whose turn the next start is.

    Parameters
    ----------
    slots
        Of all executors that follow this guard together, or of this one; > 0.
    oldest_running
        Slots that run what was the oldest when it started, also where that was the best anyway.
    started
        Starts so far; too few slots to set one apart give every so-manyth start to the oldest.
    oldest_wait_s
        How long the oldest job has waited.
    """
    if oldest_wait_s > guard.max_wait_s:
        return Turn.OLDEST
    if oldest_wait_s < guard.patience_s:
        return Turn.BEST
    apart = math.floor(guard.oldest_share * slots + NO_SHARE)
    if apart:
        return Turn.OLDEST if oldest_running < apart else Turn.BEST
    if guard.oldest_share < NO_SHARE:
        return Turn.BEST
    return Turn.OLDEST if (started + 1) % math.ceil(1 / guard.oldest_share) == 0 else Turn.BEST
