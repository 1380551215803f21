"""When a wall clock is wrong, and when that is news. Nothing else is decided by a wall clock."""

SKEW_WARN_S = 5.0
"""A wall clock further off the broker's than this is wrong. Above what a slow answer of the broker makes
of a right one."""
SKEW_NEWS_S = 1.0
"""A change of less is not announced."""
ANNOUNCE_EVERY_S = 600.0
"""A presence is written again after this, so that an instance that is gone can be told by its silence."""
SILENT_AFTER_S = 2.5 * ANNOUNCE_EVERY_S
"""An instance that has announced nothing for longer is gone."""


def announces_again(announced_s: float, skew_s: float, since_s: float) -> bool:
    """Whether to announce anew, so long after a skew was announced."""
    return since_s >= ANNOUNCE_EVERY_S or abs(skew_s - announced_s) >= SKEW_NEWS_S


def is_wrong(skew_s: float) -> bool:
    """Whether a wall clock that is so far off should be named."""
    return abs(skew_s) > SKEW_WARN_S
