"""When there is enough to make a model of recoveries, and enough that no model has seen."""

from core.learning.enough import Counts, Enough


def missing(counts: Counts, enough: Enough, *, has_model: bool) -> str:
    """Say what is missing; empty when nothing is.

    Parameters
    ----------
    counts
        Of decisions to retry whose job has ended; ``failures`` are those whose job recovered.
    """
    if counts.ends < enough.ends or counts.failures < enough.failures:
        return (
            f"jobs have ended of {counts.ends} decisions to retry, and recovered of {counts.failures}; "
            f"{enough.ends} and {enough.failures} are needed"
        )
    if has_model and counts.new_ends < enough.new_ends:
        return (
            f"jobs have ended of {counts.new_ends} decisions to retry since the newest model was made; "
            f"{enough.new_ends} are needed"
        )
    return ""
