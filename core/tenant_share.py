"""Who has had how much of the recent work: tenants share what there is, whatever their jobs cost.

Stride scheduling (Waldspurger, MIT/LCS/TM-528, 1995) gives turns in proportion to shares; here the share a
tenant has had is decayed work, and more than an equal one costs head start.
"""

import math
from dataclasses import dataclass

HALF_LIFE_S = 300.0
"""Work counts half after so long."""
LEAST_OF_LARGEST = 0.01
"""A tenant with less than this part of what the largest has had is not counted among those who share."""
TENANTS_MAX = 10_000
"""More than so many, and those with least are forgotten."""


@dataclass(slots=True)
class _Work:
    run_s: float
    at_ms: int

    def at(self, now_ms: int) -> float:
        return self.run_s * math.exp2(-max(0, now_ms - self.at_ms) / 1000 / HALF_LIFE_S)


class TenantShares:
    """Decayed work by tenant, seconds."""

    def __init__(self) -> None:
        self._work: dict[str, _Work] = {}
        self._counted: dict[str, float] = {}
        """Share of all work by tenant, as of ``_counted_s``."""
        self._sharing = 0
        self._counted_s = -1

    def add(self, tenant: str, run_s: float, now_ms: int) -> None:
        """Take in work that a tenant is given."""
        work = self._work.get(tenant)
        if work is None:
            self._work[tenant] = _Work(run_s, now_ms)
        else:
            work.run_s, work.at_ms = work.at(now_ms) + run_s, max(now_ms, work.at_ms)

    def excess(self, tenant: str, now_ms: int) -> float:
        """Give a tenant's share of the recent work in units of an equal share; 1 while it has it alone.

        As of the whole second: what is added meanwhile counts from the next on.
        """
        if now_ms // 1000 != self._counted_s:
            self._count(now_ms)
        return self._counted.get(tenant, 0.0) * self._sharing if self._sharing > 1 else 1.0

    def _count(self, now_ms: int) -> None:
        self._counted_s = now_ms // 1000
        work_s = {tenant: work.at(now_ms) for tenant, work in self._work.items()}
        if len(work_s) > TENANTS_MAX:
            kept = sorted(work_s, key=work_s.__getitem__, reverse=True)[: TENANTS_MAX // 2]
            self._work = {tenant: self._work[tenant] for tenant in kept}
            work_s = {tenant: work_s[tenant] for tenant in kept}
        total_s = sum(work_s.values())
        self._counted = {tenant: one / total_s for tenant, one in work_s.items()} if total_s > 0 else {}
        least = LEAST_OF_LARGEST * max(self._counted.values(), default=0.0)
        self._sharing = sum(share >= least for share in self._counted.values())
