"""A plan by hand: the figures that the laws give for round numbers."""

from dataclasses import replace

import pytest

from core.planning.costs import PIPELINE, Amount, Range
from core.planning.demand import Demand
from core.planning.measured import SHIPPED
from core.planning.sizing import plan
from schemas.topics import RouteMap

EVEN = replace(
    SHIPPED,
    alone_us={},
    cpu_us=dict.fromkeys(PIPELINE, Amount(Range(50.0, 100.0, 200.0))),
    log_bytes={
        "jobs.events": Amount(Range(1000.0, 1000.0, 1000.0)),
        "jobs": Amount(Range(0.0, 0.0, 0.0), 1.0),
    },
)


def test_a_hundred_microseconds_at_ten_thousand_a_second_are_one_core() -> None:
    found = plan(Demand(10_000, 0.095, 3600, payload_bytes=0, utilization=0.5, replication=1), EVEN)
    ingest = found.services["ingest"]
    assert ingest.cores == Range(0.5, 1.0, 2.0)
    assert ingest.instances == (1, 2, 4)
    assert found.partitions.typical == 32
    assert found.executors.busy_slots == pytest.approx(1000.0)
    assert found.executors.slots == 2048
    assert found.executors.instances.typical == 32
    assert found.executors.bound_by == "slots"
    assert found.brokers.in_bytes_per_s == pytest.approx(10e6)
    assert found.brokers.out_bytes_per_s == pytest.approx(40e6)
    assert found.brokers.ledger_partition_bytes == pytest.approx(10_000 * 1000 * 3600 * 1.25 / 32)
    assert found.postgres.rows == 36e6


def test_many_partitions_leave_records_alone_in_their_batches() -> None:
    few = plan(Demand(10_000, 0.0, 3600.0, slots=8192), SHIPPED)
    many = plan(Demand(10_000, 10.0, 3600.0, slots=64), SHIPPED)
    assert many.partitions.typical > 10 * few.partitions.typical
    assert many.brokers.cores.typical > 2 * few.brokers.cores.typical
    assert many.services["ingest"].us_a_job.typical > 1.5 * few.services["ingest"].us_a_job.typical
    # Not in what every measured round gave at least.
    assert many.brokers.cores.low == few.brokers.cores.low


def test_payload_is_counted_beyond_what_was_measured_with() -> None:
    found = plan(Demand(1.0, 0.0, 60.0, payload_bytes=500, replication=1), EVEN)
    assert found.brokers.in_bytes_per_s == pytest.approx(1500.0)


def test_what_was_not_measured_is_said() -> None:
    within = plan(Demand(100.0, 0.0, 3600.0, replication=1), SHIPPED)
    assert [one.partition(":")[0] for one in within.extrapolated] == ["machines"]
    beyond = plan(Demand(50_000, 0.2, 604_800, payload_bytes=5000, failure_share=0.1), SHIPPED)
    said = {one.partition(":")[0] for one in beyond.extrapolated}
    assert said >= {"rate", "instances", "partitions", "payload", "rows", "replication", "failures", "tasks"}


def test_limits_stand_with_the_most_used_first() -> None:
    found = plan(Demand(200_000, 0.2, 604_800), SHIPPED)
    shares = [limit.share for limit in found.limits]
    assert shares == sorted(shares, reverse=True)
    assert found.limits[0].name == "rows kept in one table"
    assert shares[0] > 1


def test_topics_are_those_of_the_route_map() -> None:
    few, more = RouteMap(partitions=64), RouteMap(partitions=65)
    grown = sum(one.partitions for one in more.specs()) - sum(one.partitions for one in few.specs())
    assert Demand(1.0, 0.0, 60.0).topics == grown
