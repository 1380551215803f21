"""What does not grow by adding instances, and how much of it a plan uses."""

from collections.abc import Mapping

from core.planning.costs import Range
from core.planning.demand import Demand
from core.planning.shape import BrokerPlan, Limit, PostgresPlan

TABLE_MAX_BYTES = 32 * 2**40
"""Of one table without its indexes: 2^32 blocks of 8 KiB (PostgreSQL documentation, appendix K, Limits)."""
INDEX_SHARE = 0.5
"""Of what a table and its indexes take, so much is taken to be the table."""
PARTITION_REPLICAS_MAX = 200_000
"""Of one cluster (J. Rao, "Apache Kafka Supports 200K Partitions Per Cluster", 2018); KRaft bears more, how
many more depends on the brokers."""
WAL_MAX_BYTES_PER_S = 1e9
"""One stream to one device: what a fast NVMe drive writes without pause."""
POSTGRES_CORES_MAX = 64.0
"""One large machine; the database is the only part that cannot be several."""
HEARTBEAT_BYTES = 59
"""A running job in its executor's heartbeat, every 3 s."""
HEARTBEAT_S = 3.0
ONE_PARTITION_MAX_BYTES_PER_S = 10e6
"""What one process reads and folds of one topic partition, a tenth of what a network of 1 Gbit/s carries."""


def limits_of(
    demand: Demand, busy_slots: float, brokers: BrokerPlan, postgres: PostgresPlan
) -> tuple[Limit, ...]:
    """Give every limit, the most used first."""
    assumed = "assumed"
    found = [
        Limit(
            "rows kept in one table",
            _largest(postgres.table_bytes) * INDEX_SHARE,
            TABLE_MAX_BYTES,
            "bytes",
            "PostgreSQL: 2^32 blocks of 8 KiB",
            "keep rows for less time (`penstock purge`), or several pipelines with a database each",
        ),
        Limit(
            "CPU of the database",
            postgres.cores.typical / demand.utilization,
            POSTGRES_CORES_MAX,
            "cores",
            assumed,
            "several pipelines (PENSTOCK_TOPIC_PREFIX) with a database each",
        ),
        Limit(
            "write-ahead log of the database",
            postgres.wal_bytes_per_s / demand.utilization,
            WAL_MAX_BYTES_PER_S,
            "bytes/s",
            assumed,
            "a faster device for pg_wal, smaller payloads (pass references), or several databases",
        ),
        Limit(
            "partition replicas in the cluster",
            brokers.partition_replicas,
            PARTITION_REPLICAS_MAX,
            "replicas",
            "Kafka 2018, 200,000 a cluster",
            "fewer partitions, which means dearer instances; or several clusters",
        ),
        Limit(
            "heartbeats, which are one partition",
            busy_slots * HEARTBEAT_BYTES / HEARTBEAT_S,
            ONE_PARTITION_MAX_BYTES_PER_S,
            "bytes/s",
            assumed,
            "a longer PENSTOCK_HEARTBEAT_S, and PENSTOCK_LEASE_S with it; or several pipelines",
        ),
    ]
    return tuple(sorted(found, key=lambda limit: -limit.share))


def _largest(tables: Mapping[str, Range]) -> float:
    return max((size.typical for size in tables.values()), default=0.0)
