"""What is known of the calls of one circuit: how many ended well or badly lately, and of whom."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

FAST_MS = 5_000
"""A busy circuit is judged by so much of the newest time..."""
FAST_MIN = 50
"""...if so many calls ended in it..."""
DOWN_SHARE = 0.7
"""...and at least this share of them badly. A type that fails three times in ten by itself has 35 bad ones of
50 once in a hundred million windows."""
STREAK = 20
"""Any circuit is down when so many calls in a row ended badly. One that fails half of the time by itself
comes to that once in a million calls."""
SUSPECT_STREAK = 10
"""From so many on, a failure is not held against the job that had it: the next ones decide what it was."""
STREAK_MS = 600_000
"""Two bad ends further apart are not in a row."""
GOOD_MIN = 5
"""So many calls must have ended well before: what never worked has a bug, and is no outage."""
USUAL_MS = 60_000
"""How often calls end well is a mean over so much time."""
HALF_LIFE_MS = 300_000
"""Of how much of the traffic was whose."""
OTHERS_SHARE = 0.1
"""Tenants that have less than this of the traffic together are not waited for..."""
OTHERS_BAD_MIN = 3
"""...and of the others so many calls must have ended badly, too."""
TENANTS_MAX = 256
"""Tenants told apart; of the rest nobody knows which one it is."""


class Tally(NamedTuple):
    """Calls that ended."""

    ok: int = 0
    bad: int = 0

    @property
    def ends(self) -> int:
        """All of them."""
        return self.ok + self.bad

    @property
    def bad_share(self) -> float:
        """Share that ended badly; 0 of none."""
        return self.bad / self.ends if self.ends else 0.0


class _Slice(NamedTuple):
    at_ms: int
    tenant: str
    ok: int
    bad: int


class _Traffic(NamedTuple):
    """Calls that ended well, of one tenant, each half as much every ``HALF_LIFE_MS``."""

    calls: float
    at_ms: int

    def at(self, now_ms: int) -> float:
        return self.calls * math.exp2(-max(0, now_ms - self.at_ms) / HALF_LIFE_MS)


class Evidence:
    """Folds what executors tell of one circuit; times are broker time, ms, perhaps a little out of order."""

    def __init__(self) -> None:
        self._slices: deque[_Slice] = deque()
        self._traffic: dict[str, _Traffic] = {}
        self._streak: Counter[str] = Counter()
        """Bad ends in a row, by tenant."""
        self._streak_at_ms = 0
        self._good = 0
        self.heard_ms = 0
        """Of the newest thing told."""

    def take(self, at_ms: int, tenant: str, ok: int, bad: int) -> None:
        """Fold what ended about then."""
        self.heard_ms = max(self.heard_ms, at_ms)
        tenant = self._known(tenant)
        self._slices.append(_Slice(at_ms, tenant, ok, bad))
        while self._slices and self._slices[0].at_ms < at_ms - USUAL_MS:
            self._slices.popleft()
        self._good += ok
        if ok:
            self._streak.clear()
            before = self._traffic.get(tenant, _Traffic(0.0, at_ms))
            self._traffic[tenant] = _Traffic(before.at(at_ms) + ok, max(at_ms, before.at_ms))
        elif bad:
            if at_ms - self._streak_at_ms > STREAK_MS:
                self._streak.clear()
            self._streak[tenant] += bad
            self._streak_at_ms = at_ms

    def _known(self, tenant: str) -> str:
        if tenant in self._traffic or len(self._traffic) < TENANTS_MAX:
            return tenant
        return ""

    def start_anew(self) -> None:
        """Forget what ended, because the circuit is another from here on; not whose the traffic is."""
        self._slices.clear()
        self._streak.clear()

    def since(self, from_ms: int) -> Tally:
        """Count what ended from then on, as far as the newest minute reaches."""
        return _tally(one for one in self._slices if one.at_ms >= from_ms)

    def usual_per_s(self, now_ms: int) -> float:
        """Give how many calls a second ended well lately."""
        return sum(one.ok for one in self._slices if one.at_ms > now_ms - USUAL_MS) / (USUAL_MS / 1000)

    @property
    def has_worked(self) -> bool:
        """Whether enough calls are known to have ended well."""
        return self._good >= GOOD_MIN

    @property
    def in_a_row(self) -> int:
        """Bad ends since the last good one."""
        return self._streak.total()

    def is_suspect(self, now_ms: int) -> bool:
        """Whether it looks as if what is called went down, though that is not certain yet."""
        is_streak = self.has_worked and self.in_a_row >= SUSPECT_STREAK
        return is_streak and not self._is_of_one(self._streak, now_ms)

    def why_down(self, now_ms: int) -> str | None:
        """Say why what is called looks down; None: it does not, or for one tenant alone."""
        if not self.has_worked:
            return None
        if self.in_a_row >= STREAK and not self._is_of_one(self._streak, now_ms):
            return f"{self.in_a_row} calls in a row failed"
        newest = [one for one in self._slices if one.at_ms > now_ms - FAST_MS]
        tally = _tally(newest)
        if tally.ends < FAST_MIN or tally.bad_share < DOWN_SHARE:
            return None
        bad: Counter[str] = Counter()
        for one in newest:
            bad[one.tenant] += one.bad
        if self._is_of_one(bad, now_ms) or self._others_do_well(newest, bad):
            return None
        return f"{tally.bad} of {tally.ends} calls failed within {FAST_MS // 1000} s"

    def _is_of_one(self, bad: Mapping[str, int], now_ms: int) -> bool:
        """Whether one tenant fails, and others who call as well do not, or have not yet."""
        worst = max(bad, key=lambda tenant: bad[tenant])
        others_bad = sum(bad.values()) - bad[worst]
        if others_bad >= OTHERS_BAD_MIN:
            return False
        traffic = {tenant: one.at(now_ms) for tenant, one in self._traffic.items()}
        others = sum(traffic.values()) - traffic.get(worst, 0.0)
        return others > 0 and others >= OTHERS_SHARE * sum(traffic.values())

    @staticmethod
    def _others_do_well(newest: list[_Slice], bad: Mapping[str, int]) -> bool:
        worst = max(bad, key=lambda tenant: bad[tenant])
        tally = _tally(one for one in newest if one.tenant != worst)
        return tally.ends >= OTHERS_BAD_MIN and tally.bad_share < DOWN_SHARE


def _tally(slices: Iterable[_Slice]) -> Tally:
    ok = bad = 0
    for one in slices:
        ok += one.ok
        bad += one.bad
    return Tally(ok, bad)
