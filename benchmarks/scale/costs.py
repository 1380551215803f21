"""What every piece of the simulated pipeline costs, from measurements alone.

A stage works in wakes: it takes what arrived, works, appends, and waits for the acknowledgement. A wake costs
a fixed part and a part a job (or record), and each batch it appends or reads one more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

WAKES_ALONE: Mapping[str, float] = {
    "ingest": 1,
    "prioritizer": 1,
    "executor": 5,
    "dlq_handler": 4,
    "materializer": 4,
}
"""Wakes of a job that travels alone: one for the job or dispatch, one for each record of the ledger."""
APPENDS_ALONE: Mapping[str, float] = {"ingest": 2, "prioritizer": 2, "executor": 2 / 5}
"""Batches appended in each of these wakes."""
REQUESTS_ALONE = 7 + 4 * 4 + 3
"""Of a job that travels alone: seven appends; four followers fetch four records each, three stages one."""
SCHEDULER_WAKE_US = 500.0
"""Four wakes a second are too few to be measured; as a small wake of others."""
RECORDS = 7 + 12
"""Appended and fetched for a job, alone or not."""


@dataclass(frozen=True, slots=True)
class StageCosts:
    """One kind of process, microseconds of CPU."""

    wake_us: float
    job_us: float


@dataclass(frozen=True, slots=True)
class BrokerCosts:
    """The brokers, microseconds of CPU."""

    request_us: float
    batch_us: float
    """Appended."""
    read_batch_us: float
    record_us: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured machine: what the costs of a simulation are made of, and what it is held against.

    Attributes
    ----------
    backlog_us
        CPU of a job in a backlog, by process.
    at_percent, idle_percent
        Of a core, by process, at a rate, and with nothing to do.
    alone_per_s
        The rate at which nearly every job travels alone.
    """

    commit: str
    cores: int
    backlog_jobs_per_s: float
    backlog_us: Mapping[str, float]
    alone_per_s: float
    at_percent: Mapping[float, Mapping[str, float]]
    idle_percent: Mapping[str, float]
    latency_ms: Mapping[float, Mapping[str, tuple[float, float]]]
    """By rate and step: median and 99th percentile."""


@dataclass(frozen=True, slots=True)
class SimCosts:
    """All there is to know of what things cost."""

    stages: Mapping[str, StageCosts]
    broker: BrokerCosts
    postgres: StageCosts
    """A transaction, and a job in it."""
    batch_us: float
    """A batch appended, in the process that does it; one that is read costs it nothing that was measured."""
    worker_job_us: float
    client_job_us: float
    idle_share: Mapping[str, float]
    """Of a core, by process, whatever the load."""


@dataclass(frozen=True, slots=True)
class BatchCosts:
    """What a batch costs beside its records, microseconds: measured by itself (``benchmarks.batches``)."""

    append_us: float
    broker_append_us: float
    broker_read_us: float


def derive(measured: Measured, batches: BatchCosts) -> SimCosts:
    """Split what was measured into wakes, jobs and batches.

    A job that travels alone pays for whole wakes, one in a backlog for hardly any: the difference, divided by
    the wakes of a job alone, is a wake. Nothing is fitted to elapsed times.
    """
    backlog = measured.backlog_us
    alone = {
        name: (percent - measured.idle_percent.get(name, 0.0)) * 1e4 / measured.alone_per_s
        for name, percent in measured.at_percent[measured.alone_per_s].items()
    }
    more = {name: max(0.0, us - backlog[name]) for name, us in alone.items()}
    stages = {
        name: StageCosts(
            max(0.0, more[name] / wakes - APPENDS_ALONE.get(name, 0.0) * batches.append_us), backlog[name]
        )
        for name, wakes in WAKES_ALONE.items()
    }
    stages["scheduler"] = StageCosts(SCHEDULER_WAKE_US, backlog["scheduler"])
    appends_us = 7 * batches.broker_append_us + 19 * batches.broker_read_us
    return SimCosts(
        stages=stages,
        broker=BrokerCosts(
            request_us=max(0.0, more["kafka"] - appends_us) / REQUESTS_ALONE,
            batch_us=batches.broker_append_us,
            read_batch_us=batches.broker_read_us,
            record_us=backlog["kafka"] / RECORDS,
        ),
        postgres=StageCosts(more["postgres"] / WAKES_ALONE["materializer"], backlog["postgres"]),
        batch_us=batches.append_us,
        worker_job_us=backlog["workers"],
        client_job_us=backlog["client"],
        idle_share={name: percent / 100 for name, percent in measured.idle_percent.items()},
    )
