"""Predictors without training that a model has to beat, besides those that are shipped as alternatives."""

import heapq

import numpy as np
from numpy.typing import NDArray

from adapters.recordings.jobs import RecordedJobs
from core.learning.events import Status
from core.learning.seconds import LAG_MS

PRIOR_ENDS = 3.0
Floats = NDArray[np.float64]


def running_rates(jobs: RecordedJobs) -> tuple[Floats, Floats]:
    """Give the share of failures so far, never decayed: (by tenant, by tenant and type shrunk to wider keys).

    Each job sees the ends up to the lag before its submission.
    """
    counts: dict[tuple[int, int], list[int]] = {}
    coming: list[tuple[int, int]] = []
    by_tenant, by_hierarchy = np.empty(len(jobs)), np.empty(len(jobs))
    failed = (jobs.status == Status.FAILED).tolist()
    columns = (jobs.submitted_ms, jobs.ended_ms, jobs.tenant, jobs.type)
    tenants, types = jobs.tenant.tolist(), jobs.type.tolist()
    for job, (submitted_ms, ended_ms, tenant, type_) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        while coming and coming[0][0] < submitted_ms - LAG_MS:
            _, one = heapq.heappop(coming)
            for key in _keys(tenants[one], types[one]):
                count = counts.setdefault(key, [0, 0])
                count[0] += 1
                count[1] += failed[one]
        shares = _shares(counts, tenant, type_)
        by_tenant[job], by_hierarchy[job] = shares[1], shares[3]
        if ended_ms >= 0:
            heapq.heappush(coming, (ended_ms, job))
    return by_tenant, by_hierarchy


def _keys(tenant: int, type_: int) -> tuple[tuple[int, int], ...]:
    # Everything, the tenant, the type, the tenant's type; numbers of a recording begin at 1.
    return (0, 0), (tenant, 0), (0, type_), (tenant, type_)


def _shares(counts: dict[tuple[int, int], list[int]], tenant: int, type_: int) -> list[float]:
    share = 0.01
    found: list[float] = []
    for key in _keys(tenant, type_):
        ends, failed = counts.get(key, (0, 0))
        share = (failed + PRIOR_ENDS * share) / (ends + PRIOR_ENDS)
        found.append(share)
    return found
