"""Execution buckets: log-spaced in predicted cost, and the head start each one is worth."""

import math

BUCKETS = 8
BUCKET_BOUNDS_S = tuple(0.25 * 4.0**k for k in range(BUCKETS - 1))
"""Upper bounds of predicted cost, seconds: bucket k holds costs below bound k, the last the rest."""
REFERENCE_COST_S = 0.25 * 4.0**BUCKETS / 4.0
"""Predicted cost that earns no head start at all, seconds."""


def head_start_step_s(per_decade_s: float) -> float:
    """Head start that separates two neighbouring buckets, seconds."""
    return per_decade_s * math.log10(4.0)


def bucket_of(head_start_s: float, per_decade_s: float) -> int:
    """Give the bucket of a head start: 0 runs soonest, ``BUCKETS - 1`` last.

    The bucket's own head start never exceeds the job's, so a bucket promises no more than was
    earned.
    """
    step_s = head_start_step_s(per_decade_s)
    # The small tolerance keeps a cost exactly on a bound in the cheaper bucket's neighbour
    # whatever the rounding of log10.
    return BUCKETS - 1 - min(BUCKETS - 1, max(0, math.floor(head_start_s / step_s + 1e-9)))


def bucket_head_start_s(bucket: int, per_decade_s: float) -> float:
    """Head start every job of ``bucket`` has over jobs of the last bucket, seconds."""
    return (BUCKETS - 1 - bucket) * head_start_step_s(per_decade_s)
