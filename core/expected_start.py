"""When a queued job is expected to start: what is before it, played on the slots there are.

The point is a list schedule with every job taking its mean. The interval is normal: the spread of the
jobs, the error of their means and the luck of which executor has them, each in slot seconds. Above it
stands, at its upper end, what may still overtake.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

Z = 1.645
"""Half width of the interval in standard deviations: nine of ten starts, were all of this normal."""
ONE_BY_ONE = 512
"""Jobs of a kind that are played one by one; more before them fill all slots evenly."""
LATENCY_S = 0.5
"""What the table is late by, and a claim takes before it starts; seconds."""
LIMIT_SHARE, LIMIT_LATE_S = 1.05, 2.0
"""How much later the last token of many may come: executors get within 5 % of a rate, after up to 2 s."""


class Work(NamedTuple):
    """Jobs of one kind that are taken before; slot seconds."""

    jobs: int
    mean_s: float
    sd_s: float = 0.0
    error_s: float = 0.0
    may_be_passed: bool = False
    """A rate limit may hold them back, and then they are not waited for."""


class Overtaking(NamedTuple):
    """More urgent work that keeps arriving."""

    load: float
    """Slots it keeps busy."""
    until_s: float
    """How much longer what arrives still overtakes."""


class Slots(NamedTuple):
    """Who serves the pool."""

    slots: int
    executors: int = 1
    """Each takes from partitions of its own first, and those need not hold equally much."""
    busy: Sequence[Work] = ()
    """One for each slot in use: what its job still takes; ``jobs`` does not count."""


class ExpectedStart(NamedTuple):
    """Seconds from now; ``low_s <= point_s <= high_s``."""

    low_s: float
    point_s: float
    high_s: float


def expected_start(
    ahead: Sequence[Work], slots: Slots, overtaking: Sequence[Overtaking] = ()
) -> ExpectedStart | None:
    """Say when a slot is free for a job that these are taken before; None: there is no slot at all.

    With more work ahead, or slots busy for longer, point and upper end are never earlier; with more
    slots never later.

    Parameters
    ----------
    ahead
        In about the order in which they are taken.
    """
    if slots.slots <= 0:
        return None
    point_s = _play(ahead, slots)
    wide_s = Z * math.sqrt(_variance(ahead, slots)) / slots.slots + LATENCY_S
    certain_s = _play([work for work in ahead if not work.may_be_passed], slots)
    low_s = max(0.0, min(point_s, certain_s) - wide_s)
    return ExpectedStart(low_s, point_s, _overtaken(point_s + wide_s, slots.slots, overtaking))


def not_before(start: ExpectedStart, ahead: int, rate_per_s: float, burst: float) -> ExpectedStart:
    """Give the start of a job that also needs a token, behind ``ahead`` others that do."""
    return ExpectedStart(
        max(start.low_s, (ahead + 1 - max(1.0, burst)) / rate_per_s),
        max(start.point_s, ahead / rate_per_s),
        max(start.high_s, LIMIT_SHARE * (ahead + 1) / rate_per_s + LIMIT_LATE_S),
    )


def _play(ahead: Sequence[Work], slots: Slots) -> float:
    busy = sorted((max(0.0, one.mean_s) for one in slots.busy), reverse=True)[: slots.slots]
    free_at = [0.0] * (slots.slots - len(busy)) + busy
    for work in ahead:
        alone = min(work.jobs, ONE_BY_ONE)
        free_at = _filled(free_at, (work.jobs - alone) * work.mean_s)
        heapq.heapify(free_at)
        for _ in range(alone):
            heapq.heapreplace(free_at, free_at[0] + work.mean_s)
    return min(free_at)


def _filled(free_at: list[float], work_s: float) -> list[float]:
    """Pour work over slots so that those free first take it."""
    if work_s <= 0:
        return free_at
    ordered = sorted(free_at)
    level, left = ordered[0], work_s
    for count, following in enumerate([*ordered[1:], math.inf], start=1):
        room = (following - level) * count
        if room >= left:
            level += left / count
            break
        level, left = following, left - room
    return [max(level, at) for at in ordered]


def _variance(ahead: Sequence[Work], slots: Slots) -> float:
    """Variance of the work before the job, slot seconds squared."""
    total = sum(one.sd_s**2 for one in slots.busy)
    for work in ahead:
        total += work.jobs * work.sd_s**2 + (work.jobs * work.error_s) ** 2
        # How many of n jobs fall to an executor with 1/k of the slots has variance n (k - 1) / k**2;
        # times k, since its slots are only that part of all.
        total += (slots.executors - 1) * work.jobs * work.mean_s**2
    return total


def _overtaken(start_s: float, slots: int, overtaking: Sequence[Overtaking]) -> float:
    """Give when all of ``slots`` have done what there is until ``start_s`` and what arrives meanwhile."""
    arriving = sorted((one for one in overtaking if one.load > 0 and one.until_s > 0), key=lambda one: one[1])
    load = sum(one.load for one in arriving)
    at_s, owed = 0.0, start_s * slots
    for one in arriving:
        done = (slots - load) * (one.until_s - at_s)
        if done >= owed:
            break
        at_s, owed, load = one.until_s, owed - done, load - one.load
    return max(start_s, at_s + owed / max(slots - load, 1e-9))
