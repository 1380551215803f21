"""What a plan takes for granted because nobody measured it."""

from collections.abc import Iterator

from core.planning.costs import Reach
from core.planning.demand import Demand


def beyond(demand: Demand, reach: Reach, partitions: int, instances: int) -> tuple[str, ...]:
    """Say what of a plan lies beyond what was measured, and what was assumed there.

    Parameters
    ----------
    instances
        Of the service that has most.
    """
    return (*_of_size(demand, reach, partitions, instances), *_of_kind(demand, reach))


def _of_size(demand: Demand, reach: Reach, partitions: int, instances: int) -> Iterator[str]:
    if demand.rate_per_s > reach.jobs_per_s:
        measured = f"rate: {demand.rate_per_s:g} jobs/s, measured up to {reach.jobs_per_s:g}"
        yield f"{measured}; a job is taken to cost the same CPU at any rate above"
    if instances > reach.instances:
        measured = f"instances: {instances} of a service, measured up to {reach.instances}"
        yield f"{measured}; they are taken to share nothing but brokers and database"
    if partitions > reach.partitions:
        yield f"partitions: {partitions}, measured up to {reach.partitions}"
    if demand.payload_bytes > reach.payload_bytes:
        measured = f"payload: {demand.payload_bytes} bytes, measured up to {reach.payload_bytes}"
        yield f"{measured}; costs are taken to grow in proportion"


def _of_kind(demand: Demand, reach: Reach) -> Iterator[str]:
    rows = demand.rate_per_s * demand.retention_s
    if rows > reach.rows:
        measured = f"rows: {rows:.3g} are kept, measured with {reach.rows}"
        yield f"{measured}; larger indexes cost more, and deleting old rows is not in it"
    if demand.replication > 1:
        yield (
            f"replication: {demand.replication} copies, measured with one; each other is taken to cost the "
            "brokers half the CPU of the first (low: none, high: as much)"
        )
    if demand.failure_share > 0:
        yield "failures: measured where the first attempt of every job failed; each is taken to cost that"
    if demand.run_time_s > 0:
        yield "tasks: what they compute themselves comes on top of the workers' cores"
    yield "machines: all was measured on one; a network adds waiting, and CPU where it is encrypted"
