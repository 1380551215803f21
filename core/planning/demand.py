"""What is to be planned for, and what of it cannot be planned."""

import math
from dataclasses import dataclass

PAYLOAD_MAX_BYTES = 262_144
"""Largest record the contract takes."""
SLOTS_MAX = 8192
"""Most jobs of one executor, as its settings have it: a heartbeat lists them in one record."""
FAILURE_SHARE_MAX = 0.9
"""Ten attempts a job: above it a plan is the wrong remedy."""


class DemandError(ValueError):
    """The figure cannot be planned for; the message names it, its value and what is possible."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the pipeline is to carry.

    Attributes
    ----------
    rate_per_s
        Jobs a second, sustained: what comes in the busiest stretch that nobody shall wait longer for.
    run_time_s
        Mean time a task occupies a slot.
    retention_s
        How long rows stay in the table and events in the ledger.
    slots
        Jobs one executor runs at once, over all its worker processes.
    utilization
        Share of a processor, or of the slots, that may be busy on average; the rest is for bursts, restarts
        and rebalances.
    failure_share
        Probability that an attempt fails; every failure is tried again.
    replication
        Copies of each partition the brokers keep.
    topics
        Topics that have one partition per job partition.
    """

    rate_per_s: float
    run_time_s: float
    retention_s: float
    payload_bytes: int = 300
    slots: int = 64
    utilization: float = 0.7
    failure_share: float = 0.0
    replication: int = 3
    topics: int = 35

    def __post_init__(self) -> None:
        """Refuse what no plan follows from.

        Raises
        ------
        DemandError
            A figure is out of its range.
        """
        _within("rate", self.rate_per_s, 0, 1e9, "jobs a second, above 0", open_low=True)
        _within("run-time", self.run_time_s, 0, 31 * 86_400, "seconds, at most 31 days")
        _within("retention", self.retention_s, 0, 3660 * 86_400, "at most ten years", open_low=True)
        _within("payload-bytes", self.payload_bytes, 0, PAYLOAD_MAX_BYTES, f"0 to {PAYLOAD_MAX_BYTES} bytes")
        _within("slots", self.slots, 1, SLOTS_MAX, f"1 to {SLOTS_MAX}: more need more executors")
        _within("utilization", self.utilization, 0, 0.95, "a share above 0, at most 0.95", open_low=True)
        _within(
            "failure-share",
            self.failure_share,
            0,
            FAILURE_SHARE_MAX,
            f"a share of attempts, 0 to {FAILURE_SHARE_MAX}",
        )
        _within("replication", self.replication, 1, 9, "1 to 9 copies")


def _within(
    name: str, value: float, low: float, high: float, accepted: str, *, open_low: bool = False
) -> None:
    if not math.isfinite(value) or value > high or value < low or (open_low and value == low):
        raise DemandError(f"{name} is {value:g}; accepted is {accepted}")
