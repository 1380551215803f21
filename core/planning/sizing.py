"""From a rate of jobs to partitions, instances, executors, brokers and a database, with how sure that is."""

import math

from core.planning.beyond import beyond
from core.planning.costs import KAFKA, POSTGRES, WORKERS, Costs, Range
from core.planning.demand import Demand
from core.planning.laws import alone_share, attempts, busy, in_system, waits_share, whole
from core.planning.limits import limits_of
from core.planning.shape import BrokerPlan, Count, ExecutorPlan, Plan, PostgresPlan, ServicePlan
from core.services import JOB_SERVICES

EXECUTOR = "executor"
PARTITIONS_PER_INSTANCE = 4
"""Of the service with most instances: as many as were measured, and few enough to be shared evenly."""
TURNAROUND_S = 0.005
"""What a slot is occupied beside the task, until its closure is acknowledged: medians at 50 jobs/s lay so far
apart (started 24 ms, closed 29 ms; docs/performance.md)."""
LEDGER, DLQ, DEAD, OUTCOMES = "jobs.events", "jobs.dlq", "jobs.dead", "jobs.outcomes"
LEDGER_SLACK = 1.25
"""The ledger holds up to a quarter more than it must: it is cut at snapshots (docs/retention.md)."""
LEDGER_READERS = 4
"""Scheduler, executor, dlq_handler and materializer each read all of it; other topics are read once."""
GATHER_S = 0.01
"""While an append to a partition is under way, what comes for it gathers into the next batch; about as long
as that took at light load (docs/performance.md)."""
DAY_S = 86_400.0
KEPT_S = {DLQ: 30 * DAY_S, DEAD: 90 * DAY_S, OUTCOMES: 7 * DAY_S}
"""Kept by time, whatever the retention of rows and ledger."""
SEGMENT_BYTES, LEDGER_SEGMENT_BYTES = 16 << 20, 128 << 20
"""Up to one segment of every partition is on disk although it may go."""


def plan(demand: Demand, costs: Costs) -> Plan:
    """Size every part for this demand.

    Typical figures come from measured medians, low and high ones from the least and the most that a round
    gave. More rate, longer runs, more failures or larger payloads never give less of anything.
    """
    work = _Work(demand, costs)
    partitions = _partitions(work)
    services = {name: _service(work, name, partitions.typical) for name in JOB_SERVICES if name != EXECUTOR}
    executors = _executors(work, partitions.typical)
    brokers = _brokers(work, partitions.typical)
    postgres = _postgres(work)
    return Plan(
        demand=demand,
        costs=costs,
        attempts_a_job=work.attempts,
        partitions=partitions,
        services=services,
        executors=executors,
        brokers=brokers,
        postgres=postgres,
        limits=limits_of(demand, executors.busy_slots, brokers, postgres),
        extrapolated=beyond(
            demand,
            costs.reach,
            partitions.typical,
            max(one.instances.typical for one in (*services.values(), executors.service)),
        ),
    )


class _Work:
    """A demand in terms of what was measured."""

    def __init__(self, demand: Demand, costs: Costs) -> None:
        self.demand = demand
        self.costs = costs
        self.attempts = attempts(demand.failure_share)
        self.failures = self.attempts - 1
        self.more_payload = max(0, demand.payload_bytes - costs.reach.base_payload_bytes)

    def us(self, name: str) -> Range:
        """Give the CPU of a job, failures and payload included, in microseconds."""
        return self.costs.cpu_us[name].of(self.more_payload, self.failures)

    def us_on(self, name: str, partitions: int) -> Range:
        """Give it where many partitions leave records alone in their batches; low is without that."""
        low, typical, high = self.us(name)
        reach = self.costs.reach
        measured = alone_share(reach.jobs_per_s / reach.base_partitions, GATHER_S)
        alone = max(0.0, alone_share(self.demand.rate_per_s / partitions, GATHER_S) - measured)
        more = self.costs.alone_us.get(name, 0.0) * alone * self.attempts
        return Range(low, typical + more, high + more * high / typical if typical else more)

    def cores(self, us: Range) -> Range:
        """Give how many cores are busy with that."""
        return Range(*(busy(self.demand.rate_per_s, one / 1e6) for one in us))

    def log_bytes(self) -> dict[str, float]:
        """Give the bytes of a job in every topic, once."""
        return {
            topic: amount.of(self.more_payload, self.failures).typical
            for topic, amount in self.costs.log_bytes.items()
        }


def _counted(cores: Range, utilization: float) -> Count:
    return Count(*(whole(one / utilization) for one in cores))


def _by_slots(work: _Work) -> int:
    demand = work.demand
    return whole(_busy_slots(work) / demand.utilization / demand.slots)


def _busy_slots(work: _Work) -> float:
    return in_system(work.demand.rate_per_s * work.attempts, work.demand.run_time_s + TURNAROUND_S)


def _partitions(work: _Work) -> Count:
    """Give several to each instance of the service that has most, and one to each executor."""
    needed = [_counted(work.cores(work.us(name)), work.demand.utilization) for name in JOB_SERVICES]
    by_slots = _by_slots(work)
    return Count(
        *(
            _rounded(max(PARTITIONS_PER_INSTANCE * max(column), by_slots))
            for column in zip(*needed, strict=True)
        )
    )


def _rounded(partitions: int) -> int:
    return -(-partitions // PARTITIONS_PER_INSTANCE) * PARTITIONS_PER_INSTANCE


def _service(work: _Work, name: str, partitions: int) -> ServicePlan:
    """Find the fewest instances that carry it, each with its share of the partitions to look after."""
    utilization, amount = work.demand.utilization, work.costs.cpu_us[name]
    dearer = amount.a_partition / amount.base.typical if amount.base.typical else 0.0
    needed = [_carrying(work, one, one * dearer, partitions) for one in work.us_on(name, partitions)]
    cores = Range(*needed).times(utilization)
    return ServicePlan(
        us_a_job=cores.times(1e6 / work.demand.rate_per_s),
        cores=cores,
        instances=Count(*map(whole, needed)),
        by_scalability=work.costs.scaling.instances(cores.typical / utilization),
    )


def _carrying(work: _Work, us: float, a_partition_us: float, partitions: int) -> float:
    """Give the least N, not yet whole, with ``X (D + s max(0, P / N - p)) <= u N``.

    Parameters
    ----------
    us
        D, the CPU of a job where an instance has p partitions, as when it was measured.
    a_partition_us
        s, what each further partition of an instance adds to it.
    """
    demand, base = work.demand, work.costs.reach.base_partitions
    plain = busy(demand.rate_per_s, us / 1e6) / demand.utilization
    if partitions <= base * plain or a_partition_us == 0:
        return plain
    # The positive root of u N^2 - X (D - s p) N - X s P = 0.
    linear = demand.rate_per_s * (us - a_partition_us * base) / 1e6
    rest = demand.rate_per_s * a_partition_us * partitions / 1e6
    root = (linear + math.sqrt(linear**2 + 4 * demand.utilization * rest)) / (2 * demand.utilization)
    return max(plain, root)


def _executors(work: _Work, partitions: int) -> ExecutorPlan:
    service, by_slots = _service(work, EXECUTOR, partitions), _by_slots(work)
    instances = Count(*(max(by_slots, one) for one in service.instances))
    slots = instances.typical * work.demand.slots
    return ExecutorPlan(
        service=service,
        busy_slots=_busy_slots(work),
        slots=slots,
        per_executor=work.demand.slots,
        waits_share=waits_share(slots, _busy_slots(work)),
        instances=instances,
        bound_by="slots" if by_slots >= service.instances.typical else "CPU",
        worker_cores=work.cores(work.us(WORKERS)),
    )


def _brokers(work: _Work, partitions: int) -> BrokerPlan:
    """Size the cluster: a further copy costs at most what the first did, and is taken to cost half of it."""
    demand, copies = work.demand, work.demand.replication
    per_job = work.log_bytes()
    once = demand.rate_per_s * sum(per_job.values())
    ledger = demand.rate_per_s * per_job.get(LEDGER, 0.0)
    kept_ledger = ledger * demand.retention_s * LEDGER_SLACK
    kept = kept_ledger + sum(
        demand.rate_per_s * per_job.get(topic, 0.0) * kept_s for topic, kept_s in KEPT_S.items()
    )
    segments = partitions * ((demand.topics - 1) * SEGMENT_BYTES + LEDGER_SEGMENT_BYTES)
    low, typical, high = work.cores(work.us_on(KAFKA, partitions))
    return BrokerPlan(
        cores=Range(low, typical * (1 + (copies - 1) / 2), high * copies),
        disk_bytes=Range(
            kept / LEDGER_SLACK * copies, (kept + segments / 2) * copies, (kept + segments) * copies
        ),
        in_bytes_per_s=once * copies,
        out_bytes_per_s=once * (copies - 1) + once + ledger * (LEDGER_READERS - 1),
        partition_replicas=partitions * demand.topics * copies,
        ledger_partition_bytes=kept_ledger / partitions,
    )


def _postgres(work: _Work) -> PostgresPlan:
    demand, costs = work.demand, work.costs
    rows = demand.rate_per_s * demand.retention_s
    return PostgresPlan(
        cores=work.cores(work.us(POSTGRES)),
        rows=rows,
        table_bytes={
            table: amount.of(work.more_payload, work.failures).times(rows)
            for table, amount in costs.table_bytes.items()
        },
        wal_bytes_per_s=demand.rate_per_s * costs.wal_bytes.of(work.more_payload, work.failures).typical,
    )
