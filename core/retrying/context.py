"""What is known when a dispatch has failed, as numbers: the context that decisions are logged with."""

from typing import NamedTuple

CONTEXT = ("failures", "tries_left", "age_s", "run_s", "latest_s", "losses")
"""Names, in the order of the vector; new ones only at the end, for they are read by place."""
NO_DEADLINE = -1.0
"""``latest_s`` of a job that has none."""


class Context(NamedTuple):
    """Of one failure; times in seconds."""

    failures: float
    """Of the job, this one included."""
    tries_left: float
    age_s: float
    """Since the first failure of the job that is remembered."""
    run_s: float
    latest_s: float
    """Longest delay its deadline allows, or ``NO_DEADLINE``."""
    losses: float


def named(context: tuple[float, ...]) -> dict[str, float]:
    """Give a logged vector by name, as far as this version knows names."""
    return dict(zip(CONTEXT, context, strict=False))
