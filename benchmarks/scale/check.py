"""The simulation against what was measured: the same loads on two shared cores."""

from collections.abc import Iterator

from benchmarks.results import SimCheck
from benchmarks.scale.costs import Measured, SimCosts
from benchmarks.scale.simulate import Load, Outcome, simulate
from benchmarks.scale.world import Deployment
from core.services import JOB_SERVICES

BACKLOG = 20_000
SECONDS = 20.0
DRAIN_S = 2.0
NOT_OURS = ("client", "workers", "scheduler")
"""Too small to be held against anything, or no part of the pipeline."""


def checks(measured: Measured, costs: SimCosts) -> Iterator[SimCheck]:
    """Simulate every measured load. What costs were made of is marked; the rest was predicted."""
    small = Deployment(partitions=4, instances=dict.fromkeys(JOB_SERVICES, 1), shared_cores=measured.cores)
    backlog = simulate(small, costs, Load(backlog=BACKLOG))
    yield SimCheck("20,000 at once", "jobs/s", measured.backlog_jobs_per_s, round(backlog.jobs_per_s, 1))
    for rate, steps in measured.latency_ms.items():
        found = simulate(small, costs, Load(rate_per_s=rate, seconds=SECONDS), drain_s=DRAIN_S)
        yield _cpu(measured, rate, found)
        for step, (p50, p99) in steps.items():
            simulated = found.until_ms[step]
            yield SimCheck(f"{rate:g}/s until {step}, p50", "ms", p50, round(simulated[0], 1))
            yield SimCheck(f"{rate:g}/s until {step}, p99", "ms", p99, round(simulated[1], 1))


def _cpu(measured: Measured, rate: float, found: Outcome) -> SimCheck:
    spent = sum(share for name, share in found.cores.items() if name not in NOT_OURS)
    spent *= (SECONDS + DRAIN_S) / SECONDS
    percent = {name: share for name, share in measured.at_percent[rate].items() if name not in NOT_OURS}
    return SimCheck(f"{rate:g}/s, CPU", "% of a core", round(sum(percent.values()), 1), round(100 * spent, 1))
