"""Measured points and costs made up for tests of plans."""

from dataclasses import replace

from core.planning.costs import PIPELINE, Costs, Point
from core.planning.measured import SHIPPED


def point(us: float, partitions: int = 4, payload_bytes: int = 0, attempts_per_job: int = 1) -> Point:
    """One round in which every process takes so much."""
    return Point(
        partitions=partitions,
        instances=1,
        payload_bytes=payload_bytes,
        attempts_per_job=attempts_per_job,
        jobs=100,
        cpu_us=(dict.fromkeys(PIPELINE, us),),
        jobs_per_s=(1000.0,),
    )


def dearer(costs: Costs, factor: float) -> Costs:
    """The same on slower processors."""
    return replace(
        costs,
        alone_us={name: us * factor for name, us in costs.alone_us.items()},
        cpu_us={
            name: replace(
                one,
                base=one.base.times(factor),
                a_payload_byte=one.a_payload_byte * factor,
                a_failure=one.a_failure * factor,
                a_partition=one.a_partition * factor,
            )
            for name, one in costs.cpu_us.items()
        },
    )


PARTITIONED = replace(
    SHIPPED, cpu_us={name: replace(one, a_partition=0.7) for name, one in SHIPPED.cpu_us.items()}
)
"""Where partitions cost something, too."""
