"""Records of ``jobs.outcomes``: what executors saw in one second, per (type, tenant), as integers."""

import msgspec


class OutcomeSketch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts and sums of one executor over about one second; sketches add up in any order."""

    type: str
    tenant: str
    executor: str
    seq: int
    end_ms: int
    """Broker time at the end of the second."""
    succeeded: int = 0
    failed: int = 0
    run_ms: int = 0
    """Sum of run times of the succeeded ones, milliseconds."""
    run_log2_sum: int = 0
    """Sum over the succeeded of round(1000 * log2(run time in ms + 1))."""
