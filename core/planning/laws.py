"""The laws that capacity is planned by; nothing here knows what a job is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

ROUNDING = 1e-12
"""Relative; what floating point may add to a whole number before it counts as one more."""

EXACT_SLOTS = 20_000
"""Up to so many the share that waits is computed exactly."""


def busy(rate_per_s: float, demand_s: float) -> float:
    """Give how many servers a flow keeps busy on average: the utilization law, U = X D.

    Denning and Buzen, "The operational analysis of queueing network models", ACM Computing Surveys 10(3),
    1978. It holds for any finite observation, whatever the distributions.

    Parameters
    ----------
    rate_per_s
        Completions a second, X.
    demand_s
        Seconds of the server that one of them takes, over all of its visits, D.
    """
    return rate_per_s * demand_s


def in_system(rate_per_s: float, time_s: float) -> float:
    """Give how many are inside on average: Little's law, L = lambda W.

    Little, "A proof for the queuing formula L = lambda W", Operations Research 9(3), 1961. Nothing is assumed
    of arrivals, service or order, only that what comes also goes.
    """
    return rate_per_s * time_s


def whole(amount: float, least: int = 1) -> int:
    """Round up to whole servers, at least so many."""
    return max(least, math.ceil(amount * (1 - ROUNDING)))


def attempts(failure_share: float) -> float:
    """Give attempts a job when each fails with this probability, independently, and is always tried again.

    The mean of a geometric distribution, 1 / (1 - p): above what a limit on attempts allows, never below.
    """
    return 1 / (1 - failure_share)


def alone_share(rate_per_s: float, gather_s: float) -> float:
    """Give batches a record when all that comes within ``gather_s`` of one goes with it: 1 / (1 + r t).

    Of a Poisson stream of r a second: one begins a batch, and r t others join it (renewal reward theorem).
    """
    return 1 / (1 + rate_per_s * gather_s)


def waits_share(slots: int, offered: float) -> float:
    """Give the share of jobs that find every slot busy: Erlang's formula C, for M/M/c.

    Erlang 1917. Exact for Poisson arrivals and exponential run times at one shared queue, which executors
    that steal come close to; heavier tails wait longer, not more often. By the recursion of formula B, which
    does not overflow; above ``EXACT_SLOTS`` by the limit of Halfin and Whitt ("Heavy-traffic limits for
    queues with many exponential servers", Operations Research 29(3), 1981).

    Parameters
    ----------
    offered
        Slots busy on average; from ``slots`` on everybody waits.
    """
    if offered >= slots:
        return 1.0
    if slots > EXACT_SLOTS:
        return _waits_share_of_many(slots, offered)
    blocked = 1.0
    for number in range(1, slots + 1):
        blocked = offered * blocked / (number + offered * blocked)
    load = offered / slots
    return blocked / (1 - load + load * blocked)


def _waits_share_of_many(slots: int, offered: float) -> float:
    room = (1 - offered / slots) * math.sqrt(slots)
    below = (1 + math.erf(room / math.sqrt(2))) / 2
    exponent = min(room * room / 2, 700.0)
    return 1 / (1 + math.sqrt(2 * math.pi) * room * below * math.exp(exponent))


class Scalability(NamedTuple):
    """Gunther's universal scalability law: N instances do the work of C(N) = N / (1 + s (N-1) + k N (N-1)).

    Gunther, "A simple capacity model of massively parallel transaction systems", CMG 1993, and "Guerrilla
    Capacity Planning", Springer 2007. With both 0 it is linear; with coherency above 0 it has a maximum.
    """

    contention: float = 0.0
    """Share of the work that one does at a time."""
    coherency: float = 0.0
    """What every pair of instances costs each other."""

    def capacity(self, instances: float) -> float:
        """Give C(N), in instances that work alone."""
        others = instances - 1
        return instances / (1 + self.contention * others + self.coherency * instances * others)

    @property
    def best(self) -> float:
        """Instances beyond which another one makes it slower; infinite without coherency."""
        if self.coherency == 0:
            return math.inf
        return max(1.0, math.sqrt((1 - self.contention) / self.coherency))

    def instances(self, capacity: float) -> float:
        """Give the least N with C(N) at least this; infinite when no number of instances does as much.

        The smaller root of ``k c N^2 + (c (s - k) - 1) N + c (1 - s) = 0``.
        """
        if capacity <= 1:
            return max(0.0, capacity)
        square = self.coherency * capacity
        linear = 1 - capacity * (self.contention - self.coherency)
        rest = capacity * (1 - self.contention)
        inside = linear * linear - 4 * square * rest
        if linear <= 0 or inside < 0:
            return math.inf
        return 2 * rest / (linear + math.sqrt(inside))


def fit_scalability(points: Sequence[tuple[float, float]]) -> Scalability:
    """Fit the law to (N, C(N)), by least squares, neither part below 0.

    ``N / C - 1 = s (N - 1) + k N (N - 1)`` is linear in both. Needs points with N above 1; without any it is
    linear scaling, which is not a finding.
    """
    rows = [(n - 1, n * (n - 1), n / capacity - 1) for n, capacity in points if n > 1 and capacity > 0]
    if not rows:
        return Scalability()
    candidates = [_only(rows, 0), _only(rows, 1), Scalability(), *_both(rows)]
    return min(candidates, key=lambda law: _error(rows, law))


Row = tuple[float, float, float]


def _only(rows: Sequence[Row], which: int) -> Scalability:
    across = sum(row[which] * row[2] for row in rows)
    value = max(0.0, across / sum(row[which] ** 2 for row in rows))
    return Scalability(value, 0.0) if which == 0 else Scalability(0.0, value)


def _both(rows: Sequence[Row]) -> list[Scalability]:
    """Solve the normal equations; nothing when they have no solution with both parts at or above 0."""
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    ay, by = (sum(row[i] * row[2] for row in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    if determinant <= ROUNDING * aa * bb:
        return []
    law = Scalability((ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant)
    return [law] if min(law) >= 0 else []


def _error(rows: Sequence[Row], law: Scalability) -> float:
    return sum((law.contention * a + law.coherency * b - y) ** 2 for a, b, y in rows)
