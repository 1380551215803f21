"""How urgent a job is, and how urgent it becomes by those that wait for it."""

import heapq
from typing import NamedTuple

DEADLINE_STEP_MS = 600_000
"""A deadline earlier by less is not worth another copy of a job: what one level of priority is worth."""
DEADLINE_WINDOW_MS = 3_600_000
"""A deadline further ahead is not either: it gives no head start yet."""


class Urgency(NamedTuple):
    """What a job is scored by besides its cost: its own, or what it inherits."""

    priority: int
    deadline_ms: int | None = None
    """Broker time, ms since 1970."""

    def joined(self, other: "Urgency") -> "Urgency":
        """Give the larger priority and the earlier deadline of both."""
        joined = Urgency(max(self.priority, other.priority), earlier_of(self.deadline_ms, other.deadline_ms))
        # What is the same is shared, where many are kept.
        return self if joined == self else joined

    def gains(self, other: "Urgency | None") -> "Urgency | None":
        """Give what this becomes with ``other``; None when that is no more than it is."""
        joined = self if other is None else self.joined(other)
        return None if joined == self else joined


LOWEST = Urgency(0)
_PLAIN = {priority: Urgency(priority) for priority in range(10)}


def urgency_of(
    priority: int, deadline_ms: int | None, inherited_priority: int | None, inherited_deadline_ms: int | None
) -> Urgency:
    """Give how urgent a job is with all it has inherited; those without a deadline share theirs."""
    most = max(priority, inherited_priority or 0)
    deadline_ms = earlier_of(deadline_ms, inherited_deadline_ms)
    return _PLAIN.get(most, Urgency(most)) if deadline_ms is None else Urgency(most, deadline_ms)


def earlier_of(one_ms: int | None, other_ms: int | None) -> int | None:
    """Give the earlier of two times that may not be."""
    if one_ms is None or other_ms is None:
        return other_ms if one_ms is None else one_ms
    return min(one_ms, other_ms)


def worth_a_copy(known: Urgency, by: Urgency, now_ms: int) -> Urgency | None:
    """Say how urgent a queued job becomes by one that begins to wait for it; None: not worth another copy.

    At most nine times by priorities and six by deadlines for one job, however many wait, since a deadline
    that has passed counts as now.
    """
    deadline_ms = known.deadline_ms
    if by.deadline_ms is not None:
        counted_ms = max(by.deadline_ms, now_ms)
        before_ms = earlier_of(deadline_ms, now_ms + DEADLINE_WINDOW_MS)
        if before_ms is not None and counted_ms <= before_ms - DEADLINE_STEP_MS:
            deadline_ms = counted_ms
    raised = Urgency(max(known.priority, by.priority), deadline_ms)
    return None if raised == known else raised


class Waiters:
    """How urgent those are that wait for one thing, the most urgent known at any time.

    Looking at one more or one less costs O(1), with deadlines O(log n) of those that have one.
    """

    def __init__(self) -> None:
        self._levels: dict[int, int] = {}
        self._deadlines: dict[int, int] = {}
        self._heap: list[int] = []
        """Deadlines; those of jobs that have left stay until they come first."""

    def add(self, urgency: Urgency) -> None:
        """Count one that waits."""
        self._levels[urgency.priority] = self._levels.get(urgency.priority, 0) + 1
        deadline_ms = urgency.deadline_ms
        if deadline_ms is not None:
            heapq.heappush(self._heap, deadline_ms)
            self._deadlines[deadline_ms] = self._deadlines.get(deadline_ms, 0) + 1

    def remove(self, urgency: Urgency) -> None:
        """Count one that waits no more."""
        _count_down(self._levels, urgency.priority)
        if urgency.deadline_ms is not None:
            _count_down(self._deadlines, urgency.deadline_ms)
        if not self._deadlines:
            self._heap.clear()

    def most(self) -> Urgency | None:
        """Give the largest priority and the earliest deadline; None when nobody waits."""
        while self._heap and self._heap[0] not in self._deadlines:
            heapq.heappop(self._heap)
        if not self._levels:
            return None
        return Urgency(max(self._levels), self._heap[0] if self._heap else None)


def _count_down(counts: dict[int, int], value: int) -> None:
    if counts[value] == 1:
        del counts[value]
    else:
        counts[value] -= 1
