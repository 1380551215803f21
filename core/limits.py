"""Rate limits that executors share: token buckets, and what part of a limit each executor has.

The bucket is the token bucket of Turner ("New directions in communications", IEEE Communications 24(10),
1986), the same as the virtual scheduling form of the GCRA (ITU-T I.371). The parts are agreed on through
the log: what everybody said in a slot of time that is over is the same for all who have read so far, so
all make the same parts of it, and who has not read so far has none.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

SLOT_MS = 500
"""Length of a slot. Demand is said at the beginning of each. Two small records a second of every executor,
while there are limits."""
BASIS_SLOTS = 3
"""The parts of a slot are made of what was said up to so many slots before it: 1.5 s for what was said to be
read by all, of which a slot passes for certain before it is missed."""
ALIVE_SLOTS = 2
"""Who was not heard for so many slots of the basis has no part: one word may be late or lost."""
CLOSED_KEPT = BASIS_SLOTS + 2
"""Slots of which it is kept what was known at their end; some more than the basis, for clocks that differ."""
BURST_SHARE_S = 0.25
"""Default burst: what a limit allows in this time. Half of the 5 % by which 10 s may be exceeded."""
BATCH_S = 0.05
"""A bucket holds at least what its rate allows in this time: executors claim in batches, not one by one."""
ROOM_S = 2.0
"""Dispatches of a limited subject wait in an executor's memory up to what the limit allows in this time..."""
ROOM_MIN, ROOM_MAX = 8, 4096
"""...within these; what is more goes to ``jobs.held``."""
RETURN_S = 3.0
"""Handed back to executors from ``jobs.held`` is what the limit allows in this time, less what waits there:
about twice the time until they are seen to wait there (a slot to be said, half a second on the way)."""
RETURN_MIN = 4


class Limit(NamedTuple):
    """How often something may be claimed, all executors together."""

    rate_per_s: float
    burst: float
    """Claims at once after a pause. Every executor that has a part has at least one of its own."""

    @property
    def room(self) -> int:
        """Dispatches that wait in one executor's memory, at most; as many again that came back."""
        return min(ROOM_MAX, max(ROOM_MIN, math.ceil(self.rate_per_s * ROOM_S)))

    @property
    def returned_max(self) -> int:
        """Dispatches that are on their way back to all executors or wait there again, at most."""
        return min(ROOM_MAX, max(RETURN_MIN, math.ceil(self.rate_per_s * RETURN_S)))


def default_burst(rate_per_s: float) -> float:
    """Give the burst of a limit when nobody says another."""
    return max(1.0, math.floor(rate_per_s * BURST_SHARE_S))


class TokenBucket:
    """One executor's part of a limit; begins empty. In any time t it gives at most capacity + rate x t.

    Times are seconds of one clock that never goes back.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._rate_per_s = 0.0
        self._capacity = 0.0
        self._at_s = -math.inf
        self._is_open = False

    def suspend(self, now_s: float) -> None:
        """Give nothing, and fill no further, until ``set``; what is in it stays."""
        self._settle(now_s)
        self._is_open = False
        self._rate_per_s = 0.0

    def set(self, limit: Limit, share: float, now_s: float) -> None:
        """Change to this share of the limit; a smaller capacity spills what is above it."""
        self._settle(now_s)
        self._is_open = True
        self._rate_per_s = limit.rate_per_s * share
        least = max(1.0, self._rate_per_s * BATCH_S) if share > 0 else 0.0
        self._capacity = max(least, limit.burst * share)
        self._tokens = min(self._tokens, self._capacity)

    @property
    def capacity(self) -> float:
        """Tokens it holds at most."""
        return self._capacity

    def may_take(self, now_s: float) -> bool:
        """Whether there is a token."""
        self._settle(now_s)
        return self._is_open and self._tokens >= 1.0

    def take(self, now_s: float) -> bool:
        """Take one token if there is one."""
        if not self.may_take(now_s):
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """Put a token back that was not used after all."""
        self._tokens = min(self._capacity, self._tokens + 1.0)

    def next_in_s(self, now_s: float) -> float | None:
        """Give the seconds until there is a token; None when none will come."""
        self._settle(now_s)
        if self._is_open and self._tokens >= 1.0:
            return 0.0
        return (1.0 - self._tokens) / self._rate_per_s if self._rate_per_s > 0 else None

    def _settle(self, now_s: float) -> None:
        if now_s > self._at_s:
            if self._rate_per_s > 0:
                # Rounding up a last bit would give a token a moment early, again and again.
                self._tokens = min(self._capacity, self._tokens + (now_s - self._at_s) * self._rate_per_s)
            self._at_s = now_s


def shares(wants_per_s: Mapping[str, float], rate_per_s: float) -> dict[str, float]:
    """Give everybody's part of a rate; the sum is at most 1, and 1 unless there is nobody.

    Who wants less than an equal part gets what it wants, the others equal parts of the rest (max-min
    fairness). What nobody wants is shared out equally, so that the first to want has a part already.
    """
    if not wants_per_s or rate_per_s <= 0:
        return {}
    parts: dict[str, float] = {}
    left, waiting = 1.0, len(wants_per_s)
    for name, want in sorted(wants_per_s.items(), key=lambda item: (item[1], item[0])):
        parts[name] = min(max(0.0, want / rate_per_s), left / waiting)
        left = max(0.0, left - parts[name])
        waiting -= 1
    spare = left / len(parts)
    total = sum(part + spare for part in parts.values())
    return {name: (part + spare) / max(1.0, total) for name, part in parts.items()}


class Want(NamedTuple):
    """What an executor says of one limited subject."""

    per_s: float
    """Claims a second it could make."""
    returned: int = 0
    """Dispatches waiting in its memory that came back from ``jobs.held``."""


class _Heard(NamedTuple):
    slot: int
    wants: Mapping[str, Want]


class DemandLog:
    """What executors said they want, by slots of the log's own time: a pure fold of that log."""

    def __init__(self) -> None:
        self._slot = -1
        """Of the newest record: log time never goes back, whatever a broker's clock does."""
        self._heard: dict[str, _Heard] = {}
        self._closed: list[tuple[int, Mapping[str, _Heard]]] = []
        """What was known at the end of a slot, of the newest few in which anything was said."""
        self._left: dict[str, int] = {}
        """Who has left for good, and in which slot; forgotten when no basis can name it any more."""

    def take(self, at_ms: int, executor: str, wants: Mapping[str, Want], *, leaving: bool = False) -> None:
        """Fold one record; ``at_ms`` is its append time. A name that has left never comes back.

        Others have the part of who left as soon as they read so: everybody's part only grows by that, so
        those who have not read it yet have no more than they are left with.
        """
        slot = max(self._slot, at_ms // SLOT_MS)
        if slot > self._slot:
            self._closed = [*self._closed[-CLOSED_KEPT:], (self._slot, dict(self._heard))]
            self._slot = slot
            forgotten = slot - BASIS_SLOTS - ALIVE_SLOTS - CLOSED_KEPT
            self._left = {name: at for name, at in self._left.items() if at > forgotten}
        if leaving:
            self._heard.pop(executor, None)
            self._left[executor] = slot
        elif executor not in self._left:
            self._heard[executor] = _Heard(slot, wants)

    def shares(self, subject: str, rate_per_s: float, now_ms: int) -> dict[str, float] | None:
        """Give everybody's part in the slot of ``now_ms``; None when too little was read to know.

        All who know anything of the same slot know the same.
        """
        basis = now_ms // SLOT_MS - BASIS_SLOTS
        if self._slot <= basis:
            return None
        known = next((heard for slot, heard in reversed(self._closed) if slot <= basis), None)
        if known is None:
            # It was read far beyond: by the clock of this executor the slot is over for others.
            return None
        nothing = Want(0.0)
        wants = {
            executor: heard.wants.get(subject, nothing).per_s
            for executor, heard in known.items()
            if basis - heard.slot < ALIVE_SLOTS and executor not in self._left
        }
        return shares(wants, rate_per_s)

    def wanted(self, subject: str, now_ms: int) -> float | None:
        """Give the claims a second that executors could make of it, by their newest words.

        None when no executor was heard lately.
        """
        wants = self._newest(subject, now_ms)
        return None if wants is None else sum(want.per_s for want in wants)

    def returned(self, subject: str, now_ms: int) -> int | None:
        """Give how many dispatches that came back wait in executors, by their newest words.

        None when no executor was heard lately.
        """
        wants = self._newest(subject, now_ms)
        return None if wants is None else sum(want.returned for want in wants)

    def _newest(self, subject: str, now_ms: int) -> list[Want] | None:
        """Give what executors want of it by their newest words; None when none was heard lately."""
        oldest = now_ms // SLOT_MS - BASIS_SLOTS
        alive = [heard for heard in self._heard.values() if heard.slot >= oldest]
        return [heard.wants[subject] for heard in alive if subject in heard.wants] if alive else None
