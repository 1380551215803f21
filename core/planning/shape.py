"""What a plan says: counts, cores, bytes, each with how far it may be off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from core.planning.costs import Costs, Range
from core.planning.demand import Demand


class Count(NamedTuple):
    """A whole number of something."""

    low: int
    typical: int
    high: int


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service."""

    us_a_job: Range
    """CPU, failures and partitions included."""
    cores: Range
    """Busy on average."""
    instances: Count
    """Processes: each uses one core at most."""
    by_scalability: float
    """Instances by the scalability that was fitted; infinite when no number is enough by it."""


@dataclass(frozen=True, slots=True)
class ExecutorPlan:
    """Who runs the tasks."""

    service: ServicePlan
    """As its own CPU asks for it."""
    busy_slots: float
    slots: int
    """All executors together."""
    per_executor: int
    waits_share: float
    """Share of jobs that find no slot free."""
    instances: Count
    bound_by: str
    """``slots`` or ``CPU``: which of both asks for more executors."""
    worker_cores: Range
    """The pipeline's part of the workers; what the tasks compute comes on top."""


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """The Kafka cluster, all brokers together."""

    cores: Range
    disk_bytes: Range
    in_bytes_per_s: float
    """From clients and between brokers."""
    out_bytes_per_s: float
    partition_replicas: int
    ledger_partition_bytes: float
    """The ledger on one partition, at most."""


@dataclass(frozen=True, slots=True)
class PostgresPlan:
    """The database."""

    cores: Range
    rows: float
    """Of ``jobs`` at the end of the retention."""
    table_bytes: Mapping[str, Range]
    """By table, indexes included, at the end of the retention."""
    wal_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that does not grow by adding instances."""

    name: str
    use: float
    most: float
    unit: str
    source: str
    """Who says that there is no more."""
    remedy: str

    @property
    def share(self) -> float:
        """How much of it is used; above 1 the plan does not work."""
        return self.use / self.most


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demand needs, and what it was derived from."""

    demand: Demand
    costs: Costs
    attempts_a_job: float
    partitions: Count
    services: Mapping[str, ServicePlan]
    """All but the executor."""
    executors: ExecutorPlan
    brokers: BrokerPlan
    postgres: PostgresPlan
    limits: tuple[Limit, ...]
    """Largest share first: what is met first when the rate grows."""
    extrapolated: tuple[str, ...]
    """What lies beyond what was measured."""
