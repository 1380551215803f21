"""The rules of capacity: more of anything never needs less, and units are what they say."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.planning.costs import Amount, Costs, Point, Provenance, Range, fit
from core.planning.demand import Demand
from core.planning.laws import (
    EXACT_SLOTS,
    Scalability,
    attempts,
    fit_scalability,
    in_system,
    waits_share,
    whole,
)
from core.planning.measured import SHIPPED
from core.planning.shape import Plan
from core.planning.sizing import TURNAROUND_S, plan
from tests.support.planning import PARTITIONED, dearer, point

rates = st.floats(0.01, 1e6)
times = st.floats(0, 3600)
demands = st.builds(
    Demand,
    rate_per_s=rates,
    run_time_s=times,
    retention_s=st.floats(60, 3e7),
    payload_bytes=st.integers(0, 100_000),
    slots=st.integers(1, 8192),
    utilization=st.floats(0.05, 0.95),
    failure_share=st.floats(0, 0.9),
    replication=st.integers(1, 5),
)
costs = st.sampled_from([SHIPPED, PARTITIONED])


def needs(found: Plan) -> list[float]:
    """Everything that is bought, in one order."""
    services = [found.services[name] for name in sorted(found.services)] + [found.executors.service]
    return [
        *found.partitions,
        *(amount for one in services for amount in (*one.instances, *one.cores)),
        *found.executors.instances,
        found.executors.slots,
        found.executors.busy_slots,
        *found.executors.worker_cores,
        *found.brokers.cores,
        *found.brokers.disk_bytes,
        found.brokers.in_bytes_per_s,
        found.brokers.out_bytes_per_s,
        found.brokers.partition_replicas,
        *found.postgres.cores,
        found.postgres.rows,
        *(amount for size in found.postgres.table_bytes.values() for amount in size),
        found.postgres.wal_bytes_per_s,
    ]


def at_most(less: list[float], more: list[float]) -> bool:
    return all(a <= b * (1 + 1e-9) + 1e-12 for a, b in zip(less, more, strict=True))


def changed(demand: Demand, **fields: float) -> Demand:
    return Demand(**({name: getattr(demand, name) for name in Demand.__slots__} | fields))


@given(demands, costs, st.floats(1, 1000))
def test_more_rate_never_needs_less(demand: Demand, of: Costs, factor: float) -> None:
    more = changed(demand, rate_per_s=demand.rate_per_s * factor)
    assert at_most(needs(plan(demand, of)), needs(plan(more, of)))


@given(demands, costs, st.floats(0, 3600))
def test_longer_runs_never_need_less(demand: Demand, of: Costs, longer_s: float) -> None:
    more = changed(demand, run_time_s=demand.run_time_s + longer_s)
    assert at_most(needs(plan(demand, of)), needs(plan(more, of)))


@given(demands, costs, st.integers(0, 100_000))
def test_larger_payloads_never_need_less(demand: Demand, of: Costs, more_bytes: int) -> None:
    more = changed(demand, payload_bytes=demand.payload_bytes + more_bytes)
    assert at_most(needs(plan(demand, of)), needs(plan(more, of)))


@given(demands, costs, st.floats(0, 0.9))
def test_more_failures_never_need_less(demand: Demand, of: Costs, share: float) -> None:
    more = changed(demand, failure_share=max(demand.failure_share, share))
    assert at_most(needs(plan(demand, of)), needs(plan(more, of)))


@given(demands, costs)
def test_low_is_never_above_typical_and_typical_never_above_high(demand: Demand, of: Costs) -> None:
    found = plan(demand, of)
    for one in (*found.services.values(), found.executors.service):
        assert list(one.instances) == sorted(one.instances)
        assert list(one.cores) == sorted(one.cores)
        assert list(one.us_a_job) == sorted(one.us_a_job)
    for amount in (
        found.partitions,
        found.executors.instances,
        found.brokers.disk_bytes,
        found.brokers.cores,
    ):
        assert list(amount) == sorted(amount)


@given(demands)
def test_processors_twice_as_fast_are_half_as_busy(demand: Demand) -> None:
    # Batches apart: slower processors are more instances, with more partitions and emptier batches.
    whole_batches = replace(SHIPPED, alone_us={})
    slow, fast = plan(demand, dearer(whole_batches, 2.0)), plan(demand, whole_batches)
    for name, service in fast.services.items():
        assert slow.services[name].cores.typical == pytest.approx(2 * service.cores.typical)
    assert slow.postgres.cores.typical == pytest.approx(2 * fast.postgres.cores.typical)


@given(demands)
def test_no_instance_is_busier_than_allowed_and_one_fewer_would_be(demand: Demand) -> None:
    for one in plan(demand, SHIPPED).services.values():
        cores, instances = one.cores.typical, one.instances.typical
        assert cores / instances <= demand.utilization * (1 + 1e-6)
        assert instances == 1 or cores / (instances - 1) > demand.utilization * (1 - 1e-6)


@given(demands)
def test_slots_are_as_littles_law_has_them(demand: Demand) -> None:
    found = plan(demand, SHIPPED)
    dispatches_per_s = demand.rate_per_s / (1 - demand.failure_share)
    assert found.executors.busy_slots == pytest.approx(dispatches_per_s * (demand.run_time_s + TURNAROUND_S))
    assert found.executors.busy_slots <= found.executors.slots * demand.utilization * (1 + 1e-6)


@given(demands, st.floats(1.01, 100))
def test_rows_and_their_bytes_grow_as_rate_times_retention(demand: Demand, factor: float) -> None:
    few, many = plan(demand, SHIPPED), plan(changed(demand, rate_per_s=demand.rate_per_s * factor), SHIPPED)
    assert few.postgres.rows == pytest.approx(demand.rate_per_s * demand.retention_s)
    for table, size in few.postgres.table_bytes.items():
        assert many.postgres.table_bytes[table].typical == pytest.approx(size.typical * factor)


@given(st.integers(1, 2000), st.floats(0, 0.999))
def test_the_share_that_waits_is_a_share_and_grows_with_load(slots: int, load: float) -> None:
    share = waits_share(slots, slots * load)
    assert 0 <= share <= 1
    assert share <= waits_share(slots, slots * min(0.9999, load + 0.0005)) + 1e-9
    if slots == 1:
        assert share == pytest.approx(load)


@given(st.floats(0.9, 0.9999))
def test_the_approximation_for_many_slots_joins_the_exact_formula(load: float) -> None:
    exact, close = (
        waits_share(EXACT_SLOTS, EXACT_SLOTS * load),
        waits_share(EXACT_SLOTS + 1, (EXACT_SLOTS + 1) * load),
    )
    # It is the limit of many slots at a load near 1; far below, where hardly anybody waits, it is above.
    assert close == pytest.approx(exact, rel=0.3, abs=1e-6)


@given(st.floats(0, 0.9), st.floats(1e-9, 0.01), st.floats(1.5, 1000))
def test_as_many_instances_as_the_law_asks_for_do_the_work(s: float, k: float, capacity: float) -> None:
    law = Scalability(s, k)
    needed = law.instances(capacity)
    if math.isinf(needed):
        assert law.capacity(law.best) <= capacity * (1 + 1e-6)
    else:
        assert needed <= law.best * (1 + 1e-6)
        assert law.capacity(needed) == pytest.approx(capacity, rel=1e-6)


@given(st.floats(0, 0.3), st.floats(0, 0.01))
def test_a_fit_finds_the_law_that_made_the_points(s: float, k: float) -> None:
    law = Scalability(s, k)
    found = fit_scalability([(n, law.capacity(n)) for n in (1, 2, 4, 8, 16)])
    assert found.contention == pytest.approx(s, abs=1e-6)
    assert found.coherency == pytest.approx(k, abs=1e-6)


@given(st.floats(0, 0.99))
def test_attempts_are_those_of_independent_failures(share: float) -> None:
    assert attempts(share) == pytest.approx(sum(share**n for n in range(10_000)), rel=1e-3)


@given(st.integers(1, 10**9), st.floats(0.1, 10))
def test_rounding_adds_nothing_to_whole_numbers(count: int, factor: float) -> None:
    assert whole(count * factor / factor) == count
    assert whole(0.0) == 1
    assert in_system(count, factor) == count * factor


@given(
    st.floats(1, 1000),
    st.floats(0, 1),
    st.floats(0, 500),
    st.floats(0, 10),
    st.integers(0, 2000),
    st.floats(0, 9),
)
def test_a_fit_gives_back_what_a_job_was_made_of(
    base: float, a_byte: float, a_failure: float, a_partition: float, payload: int, failures: float
) -> None:
    def us(partitions: int, payload_bytes: int, attempts_per_job: int) -> float:
        return (
            base
            + a_byte * payload_bytes
            + a_failure * (attempts_per_job - 1)
            + a_partition * (partitions - 4)
        )

    shapes = [(4, 0, 1), (4, 1000, 1), (4, 0, 2), (16, 0, 1)]
    points: list[Point] = [point(us(*shape), *shape) for shape in shapes]
    found = fit(points, Provenance("", 2, "", "", "", 0.0, 1)).cpu_us["ingest"]
    assert found.base == Range(base, base, base)
    assert found.a_partition == pytest.approx(a_partition, abs=1e-6)
    expected = base + a_byte * payload + a_failure * failures
    assert found.of(payload, failures).typical == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert Amount(Range(0, 0, 0), 2.0).of(10, 0) == Range(20, 20, 20)
