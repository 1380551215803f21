"""A pipeline of 1,000 partitions under ever more load, on ever more partitions, and while one dies."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from benchmarks.results import Scale, SimCheck, SimLeaving, SimPoint
from benchmarks.scale.check import checks
from benchmarks.scale.costs import SimCosts, derive
from benchmarks.scale.measured import BATCHES, PUBLISHED
from benchmarks.scale.simulate import Leaving, Load, Outcome, simulate
from benchmarks.scale.world import Births, Deployment
from core.planning.demand import Demand
from core.planning.laws import fit_scalability, whole
from core.planning.measured import SHIPPED
from core.planning.sizing import plan

RATE_PER_S = 100_000.0
PARTITIONS = 1_000
RUN_TIME_S = 0.2
SLOTS = 512
RATES = (10_000.0, 25_000.0, 50_000.0, 75_000.0, 100_000.0, 125_000.0)
PARTITION_COUNTS = (60, 160, 400, 1_000, 3_000)
SIZES = (0.125, 0.25, 0.5, 1.0)
PARTITIONS_OF_SIZES = 160
"""Of the planned instances, with as many partitions for each; brokers and database stay."""
SECONDS, WARM_UP_S = 1.4, 0.7
OVERLOAD = 1.3
"""Times what the busiest instance could do: so much load shows what a size can do."""
BROKERS, BROKER_CORES = 9, 8
NETWORK_S, REPLICATION_S = 0.00025, 0.001
"""One way in one data centre, and what an acknowledgement waits for two copies; assumed."""
LEAVING = Leaving("materializer", at_s=1.0, session_s=2.0)
LEAVING_S = 6.0
LEAVING_RATE_PER_S = RATE_PER_S / 2
"""On ``PARTITIONS_OF_SIZES`` partitions: room enough to catch up."""
Say = Callable[[str], None]


def costs_now() -> SimCosts:
    """Give the costs of the sweep: those that were measured, with the scheduler that follows the ledger."""
    scheduler_us = SHIPPED.cpu_us["scheduler"].base.typical
    now = replace(PUBLISHED, backlog_us={**PUBLISHED.backlog_us, "scheduler": scheduler_us})
    return derive(now, BATCHES)


def deployment(partitions: int = PARTITIONS, size: float = 1.0) -> Deployment:
    """Give what is planned for ``RATE_PER_S``, or a part of its instances, on so many partitions."""
    found = plan(Demand(RATE_PER_S, RUN_TIME_S, 86_400.0, slots=SLOTS), SHIPPED)
    instances = {name: one.instances.typical for name, one in found.services.items()}
    instances["executor"] = found.executors.instances.typical
    return Deployment(
        partitions=partitions,
        instances={name: max(1, round(count * size)) for name, count in instances.items()},
        slots=SLOTS,
        brokers=BROKERS,
        broker_cores=BROKER_CORES,
        postgres_cores=whole(found.postgres.cores.typical / found.demand.utilization),
        network_s=NETWORK_S,
        replication_s=REPLICATION_S,
    )


def measure_scale(say: Say, workers: int) -> Scale:
    """Simulate everything, so many loads at a time; repeats are equal."""
    loads = {
        "rates": [(rate, deployment()) for rate in RATES],
        "partitions": [(RATE_PER_S, deployment(count)) for count in PARTITION_COUNTS],
        "sizes": [
            (RATE_PER_S * size * OVERLOAD, deployment(round(PARTITIONS_OF_SIZES * size), size))
            for size in SIZES
        ],
    }
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        left = pool.submit(_leaving)
        checked = pool.submit(_checked)
        points = {name: [pool.submit(_simulated, *load) for load in of] for name, of in loads.items()}
        found = {name: tuple(_told(say, one.result()) for one in of) for name, of in points.items()}
        say("waiting for the checks and for the instance that dies")
        results = checked.result(), left.result()
    sizes = found["sizes"]
    law = fit_scalability(
        [(one.instances / sizes[0].instances, one.jobs_per_s / sizes[0].jobs_per_s) for one in sizes]
    )
    return Scale(
        checks=results[0], leaving=results[1], contention=law.contention, coherency=law.coherency, **found
    )


def _told(say: Say, found: SimPoint) -> SimPoint:
    say(f"{found.per_s:,.0f} jobs/s over {found.partitions} partitions, {found.instances} instances: done")
    return found


def _checked() -> tuple[SimCheck, ...]:
    return tuple(checks(PUBLISHED, derive(PUBLISHED, BATCHES)))


def _simulated(rate: float, where: Deployment) -> SimPoint:
    load = Load(rate_per_s=rate, seconds=SECONDS, run_time_s=RUN_TIME_S, warm_up_s=WARM_UP_S)
    return point(rate, where, simulate(where, costs_now(), load))


def point(rate: float, where: Deployment, outcome: Outcome) -> SimPoint:
    """Put an outcome into figures."""
    return SimPoint(
        per_s=rate,
        partitions=where.partitions,
        instances=sum(where.instances.values()),
        jobs_per_s=round(outcome.jobs_per_s, 1),
        until_ms={step: (round(a, 2), round(b, 2)) for step, (a, b) in outcome.until_ms.items()},
        busy={name: round(share, 4) for name, share in outcome.busy.items()},
    )


def _leaving() -> SimLeaving:
    load = Load(rate_per_s=LEAVING_RATE_PER_S, seconds=LEAVING_S, run_time_s=RUN_TIME_S)
    outcome = simulate(deployment(PARTITIONS_OF_SIZES), costs_now(), load, leaving=LEAVING)
    times_s = np.arange(0.0, LEAVING_S, 0.05)
    waiting = LEAVING_RATE_PER_S * times_s - np.searchsorted(outcome.rows_at, times_s)
    before = waiting[(times_s > LEAVING.at_s - 0.4) & (times_s <= LEAVING.at_s)].mean()
    late = times_s[(times_s > LEAVING.at_s) & (waiting > before * 1.1)]
    return SimLeaving(
        LEAVING.service,
        LEAVING.session_s,
        waiting_most=int(waiting.max()),
        waiting_before=int(before),
        recovered_s=_recovered_s(late, times_s),
    )


def _recovered_s(late: Births, times_s: Births) -> float | None:
    if len(late) and late[-1] == times_s[-1]:
        return None
    return round(float(late[-1]) - LEAVING.at_s, 2) if len(late) else 0.0
