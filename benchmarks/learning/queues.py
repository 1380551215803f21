"""What recorded jobs would have waited under an order: the shipped one, or one on exact predictions.

Non-preemptive, single slots, recorded arrivals and run times. Predictions are those made at the recorded
submission, from ends as recorded: that waits in the simulated queue delay what is learned is not simulated.
"""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.queueing import Arrival, shared_waits
from core.buckets import bucket_head_start_s, bucket_of
from core.head_order import HeadOrder, Turn
from core.learning.agreement import Agreement
from core.learning.law import OrderLaw
from core.learning.starts import turn
from core.learning.trust import Seen, Trust
from core.priority import DEFAULT_PRIORITY, cost_bucket, score
from core.urgency import Urgency

Floats = NDArray[np.float64]
SLOWDOWN_LEAST_S = 10.0
"""Bounded slowdown counts shorter runs as so long (Feitelson and Rudolph, 1998)."""
_URGENCY = Urgency(DEFAULT_PRIORITY, None)


class Load(NamedTuple):
    """Arrivals on a number of slots; both (n_jobs,) in order of arrival, seconds."""

    ready_s: Floats
    run_s: Floats
    slots: int


class Expected(NamedTuple):
    """What was expected of each job's run time, seconds: (n_jobs,)."""

    by_model: Floats
    by_mean: Floats


class Outcome(NamedTuple):
    """Waits of all jobs, seconds, and which of them the model was trusted with."""

    waits_s: Floats
    trusted: NDArray[np.bool_]


class Waits(NamedTuple):
    """Waits in a few numbers."""

    mean_s: float
    slowdown: float
    """Mean bounded slowdown."""
    p99_s: float
    max_s: float


def load_of(ready_s: Floats, run_s: Floats, rho: float) -> Load:
    """Give the number of slots on which these arrivals make that load."""
    offered = run_s.sum() / (ready_s[-1] - ready_s[0])
    return Load(ready_s, run_s, max(1, round(offered / rho)))


def stretched(ready_s: Floats, run_s: Floats, slots: int, rho: float) -> Load:
    """Move arrivals apart or together until they make that load on so many slots."""
    first_s = ready_s[0]
    span_s = run_s.sum() / (slots * rho)
    return Load((ready_s - first_s) * (span_s / (ready_s[-1] - first_s)), run_s, slots)


def waits_of(load: Load, waits_s: Floats) -> Waits:
    """Sum up waits."""
    slowdown = np.maximum(1.0, (waits_s + load.run_s) / np.maximum(load.run_s, SLOWDOWN_LEAST_S))
    return Waits(
        float(waits_s.mean()),
        float(slowdown.mean()),
        float(np.percentile(waits_s, 99)),
        float(waits_s.max()),
    )


def in_order_of(load: Load, by: Floats) -> Floats:
    """Give the waits when a free slot takes the waiting job with the smallest number."""
    arrivals = [
        Arrival(ready_s, run_s, ready_s - number)
        for ready_s, run_s, number in zip(
            load.ready_s.tolist(), load.run_s.tolist(), by.tolist(), strict=True
        )
    ]
    return np.array(shared_waits(arrivals, load.slots))


def shipped(load: Load, expected: Expected, law: OrderLaw) -> Outcome:
    """Give the waits under the order that is shipped, with its buckets, head starts, trust and guards."""
    return _Pool(load, expected, law).run()


class _Pool:
    """One pool of slots; steps through arrivals and ends in order of time."""

    def __init__(self, load: Load, expected: Expected, law: OrderLaw) -> None:
        self._ready_s: list[float] = load.ready_s.tolist()
        self._run_s: list[float] = load.run_s.tolist()
        self._by_model: list[float] = expected.by_model.tolist()
        self._by_mean: list[float] = expected.by_mean.tolist()
        self._slots = load.slots
        self._law = law
        self._waiting: HeadOrder[int] = HeadOrder()
        self._running: list[tuple[float, int, bool]] = []
        self._oldest_running = 0
        self._started = 0
        self._trust = Trust()
        self._agreement = Agreement()
        self._now_s = 0.0
        self._rivals: dict[int, tuple[int, int]] = {}
        """Buckets by model and by mean of what has not ended."""
        self._waits_s = np.zeros(len(load.ready_s))
        self._trusted = np.zeros(len(load.ready_s), np.bool_)
        self._head_starts_ms = [
            bucket_head_start_s(bucket, law.rule.per_decade_s) * 1000 for bucket in range(8)
        ]

    def run(self) -> Outcome:
        """Serve everything."""
        for job, ready_s in enumerate(self._ready_s):
            self._end_until(ready_s)
            self._arrive(job, ready_s)
            self._start(ready_s)
        self._end_until(np.inf)
        return Outcome(self._waits_s, self._trusted)

    def _end_until(self, until_s: float) -> None:
        while self._running and self._running[0][0] <= until_s:
            end_s, job, was_oldest = heapq.heappop(self._running)
            self._oldest_running -= was_oldest
            self._trust.saw(Seen(*self._rivals.pop(job), self._run_s[job]))
            self._start(end_s)

    def _arrive(self, job: int, ready_s: float) -> None:
        self._agreement.saw(self._by_model[job], self._by_mean[job])
        trusted = self._trust.is_trusted and not self._agreement.contradicts
        self._trusted[job] = trusted
        scored = score(
            predicted_run_s=self._by_model[job] if trusted else self._by_mean[job],
            own=_URGENCY,
            now_ms=0,
            rule=self._law.rule,
            spread=self._law.spread,
        )
        bucket = bucket_of(scored.head_start_s, self._law.rule.per_decade_s)
        law = self._law
        self._rivals[job] = (
            cost_bucket(self._by_model[job], law.rule, law.spread),
            cost_bucket(self._by_mean[job], law.rule, law.spread),
        )
        self._waiting.offer(bucket, self._head_starts_ms[bucket], round(ready_s * 1000), job)

    def _start(self, now_s: float) -> None:
        while len(self._running) < self._slots:
            self._now_s = now_s
            if next(self._waiting.take(1, _fits, turns=self), None) is None:
                return

    def whose(self, oldest_ready_ms: int) -> Turn:
        """See ``core.head_order.Turns``."""
        wait_s = self._now_s - oldest_ready_ms / 1000
        return turn(self._law.guard, self._slots, self._oldest_running, self._started, wait_s)

    def took(self, item: int, *, is_oldest: bool) -> None:
        """See ``core.head_order.Turns``."""
        self._started += 1
        self._oldest_running += is_oldest
        self._waits_s[item] = max(0.0, self._now_s - self._ready_s[item])
        heapq.heappush(self._running, (self._now_s + self._run_s[item], item, is_oldest))


def _fits(_: int) -> bool:
    return True
