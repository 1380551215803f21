"""The retry budget: a bound on how much more than the load itself is tried, whatever fails and why.

A share of what succeeds may be tried again ("Site Reliability Engineering", 2016, chapter 21, and Finagle's
``RetryBudget``), with a floor so that a quiet type can retry at all. A queue need not refuse what is beyond
the budget: it waits.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import NamedTuple

KEYS_MAX = 10_000
"""Buckets kept; the one that was used longest ago is forgotten first, and begins full again."""


class BudgetRule(NamedTuple):
    """How many retries there may be; of one dlq_handler, by its part of all partitions."""

    share: float = 0.1
    """Retries for each success."""
    floor_per_s: float = 10.0
    """Retries a second without any success."""
    burst: float = 100.0
    """Retries at once after a quiet time."""
    wait_max_s: float = 600.0
    """Longest time that a retry waits for the budget. One that would wait longer starts then all the same: a
    type that fails most of the time by itself has to get on."""

    def of_part(self, part: float) -> "BudgetRule":
        """Give the rule of who has this part of all partitions; at least one retry at once is left."""
        return self._replace(floor_per_s=self.floor_per_s * part, burst=max(1.0, self.burst * part))


class RetryBudget:
    """The bucket of one type or dependency. Times are seconds of one clock.

    Retries it gives out start, over any time that begins with it full, no more often than *burst + floor x
    time + share x successes until their start*; those that have waited ``wait_max_s`` are the exception.
    """

    def __init__(self, rule: BudgetRule, now_s: float) -> None:
        self._rule = rule
        self._tokens = rule.burst
        self._at_s = now_s

    def set(self, rule: BudgetRule, now_s: float) -> None:
        """Go on under another rule."""
        self._fill(now_s)
        self._rule = rule
        self._tokens = min(self._tokens, rule.burst)

    def succeeded(self, count: int, now_s: float) -> None:
        """Take in successes."""
        self._fill(now_s)
        self._tokens = min(self._rule.burst, self._tokens + self._rule.share * count)

    def wait_s(self, now_s: float) -> float:
        """Give how long a retry that is decided now has to wait.

        Only the floor is certain to come, so what is owed is paid by it alone; successes meanwhile
        shorten the wait of those that come later.
        """
        self._fill(now_s)
        if self._tokens >= 1.0:
            return 0.0
        if self._rule.floor_per_s <= 0:
            return self._rule.wait_max_s
        return min(self._rule.wait_max_s, (1.0 - self._tokens) / self._rule.floor_per_s)

    def take(self, now_s: float) -> None:
        """Count a retry that was given out; what it owes is bounded by the longest wait."""
        self._fill(now_s)
        owed_max = self._rule.floor_per_s * self._rule.wait_max_s
        self._tokens = max(-owed_max, self._tokens - 1.0)

    def _fill(self, now_s: float) -> None:
        if now_s > self._at_s:
            gained = (now_s - self._at_s) * self._rule.floor_per_s
            self._tokens = min(self._rule.burst, self._tokens + gained)
            self._at_s = now_s


class RetryBudgets:
    """The buckets of all types and dependencies."""

    def __init__(self, rule: BudgetRule) -> None:
        self._rule = rule
        self._buckets: OrderedDict[str, RetryBudget] = OrderedDict()

    def set(self, rule: BudgetRule, now_s: float) -> None:
        """Go on under another rule: this handler's part has changed."""
        if rule != self._rule:
            self._rule = rule
            for bucket in self._buckets.values():
                bucket.set(rule, now_s)

    def succeeded(self, keys: Iterable[str], count: int, now_s: float) -> None:
        """Take in successes of a type, and of what it leans on."""
        for key in keys:
            self._of(key, now_s).succeeded(count, now_s)

    def take(self, keys: Collection[str], now_s: float) -> float:
        """Take a retry out of each of these; give how long it has to wait, seconds."""
        buckets = [self._of(key, now_s) for key in keys]
        wait_s = max((bucket.wait_s(now_s) for bucket in buckets), default=0.0)
        for bucket in buckets:
            bucket.take(now_s)
        return wait_s

    def _of(self, key: str, now_s: float) -> RetryBudget:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = RetryBudget(self._rule, now_s)
            if len(self._buckets) > KEYS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
