"""Who is waited for inherits, through the scheduler's own steps; and nobody runs twice for it."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.log import TopicPartition, size_bytes
from core.urgency import Urgency
from ports.meter import Metric
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, encode, ledger_record
from schemas.routing import onward
from schemas.topics import JOB_MAX_BYTES
from tests.unit.services.scheduler.runner import Runner
from tests.unit.services.scheduler.simulation import ROUTES, START_MS, CrashError, Process, World, a_job

BOOSTED = (Metric.GATED, (("gate", "order"), ("outcome", "boosted")))


def submit(world: World, job: AcceptedJob) -> None:
    """Hand a job with an ordering key over as ingest does."""
    for record in [ledger_record(ROUTES, accepted_note(job)), *onward(ROUTES, job, None, START_MS)]:
        world.put(record)


def ready(world: World) -> list[tuple[str, int, Urgency | None]]:
    jobs = [decode_accepted(record) for record in world.records(ROUTES.ready)]
    return [(job.origin, job.n, job.inherited) for job in jobs]


async def finish(process: Process, runner: Runner) -> list[AcceptedJob]:
    for _ in range(40):
        await process.run_for(30)
        runner.claim()
        runner.end_oldest()
    return runner.started


async def test_a_queued_job_that_a_more_urgent_one_waits_for_goes_on_once_more_and_runs_once() -> None:
    world = World()
    process = Process(world)
    low = a_job(1, ordering_key="k", priority=0)
    submit(world, low)
    await process.run_for(30)
    assert ready(world) == [(low.origin, 1, None)]
    submit(world, a_job(2, ordering_key="k", priority=8))
    submit(world, a_job(3, ordering_key="k", priority=8))
    submit(world, a_job(4, ordering_key="other", priority=9))
    await process.run_for(30)
    assert [one for one in ready(world) if one[0] == low.origin] == [
        (low.origin, 1, None),
        (low.origin, 1, Urgency(8)),
    ]
    assert process.meter.counts[BOOSTED] == 1
    started = await finish(process, Runner(world, {}))
    assert sorted(job.origin for job in started) == [a_job(number).origin for number in (1, 2, 3, 4)]


async def test_a_job_that_passes_carries_the_urgency_of_those_behind_it() -> None:
    world = World()
    process = Process(world)
    due = START_MS + 1000
    for number, priority in ((1, 9), (2, 1), (3, 2), (4, 6)):
        deadline = due if number == 3 else None
        submit(world, a_job(number, ordering_key="k", priority=priority, deadline_ms=deadline))
    started = await finish(process, Runner(world, {}))
    assert [job.inherited for job in started] == [None, Urgency(6, due), Urgency(6), None]


async def test_a_job_whose_record_is_trimmed_is_not_boosted_and_nothing_stops() -> None:
    world = World()
    process = Process(world, cache_bytes=0)
    jobs = [a_job(number, ordering_key=f"k{number}", priority=0) for number in range(1, 9)]
    for job in jobs:
        submit(world, job)
    await process.run_for(30)
    cut: dict[TopicPartition, int] = {}
    for partition in range(ROUTES.partitions):
        place = TopicPartition(ROUTES.orders, partition)
        cut[place] = len(world.log[place]) // 2
        world.trim(place, cut[place])
    gone = [decode_accepted(record).origin for place, at in cut.items() for record in world.log[place][:at]]
    for job in jobs:
        submit(world, a_job(int(job.origin[-1]) + 10, ordering_key=job.ordering_key, priority=9))
    await process.run_for(30)
    boosted = [origin for origin, _, inherits in ready(world) if inherits is not None]
    assert gone
    assert sorted(boosted) == sorted(job.origin for job in jobs if job.origin not in gone)
    assert len(await finish(process, Runner(world, {}))) == 2 * len(jobs)


@pytest.mark.parametrize("spare_bytes", [0, 200])
async def test_a_job_that_inheriting_makes_too_large_runs_without(spare_bytes: int) -> None:
    world = World()
    process = Process(world)
    small = a_job(2, ordering_key="k", priority=0, payload=msgspec.Raw(b'""'))
    room = JOB_MAX_BYTES - size_bytes(onward(ROUTES, small, None, START_MS)[0]) - spare_bytes
    large = msgspec.structs.replace(small, payload=msgspec.Raw(encode("x" * room)))
    submit(world, a_job(1, ordering_key="k"))
    submit(world, large)
    submit(world, a_job(3, ordering_key="k", priority=9))
    started = await finish(process, Runner(world, {}))
    inherits = [job.inherited for job in started]
    assert inherits == [None, Urgency(9) if spare_bytes else None, None]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=2, max_size=10),
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 60)), max_size=4),
)
async def test_crashes_anywhere_let_nobody_run_twice_and_leave_no_low_job_behind_a_high_one(
    jobs: list[tuple[str, int]], crashes: list[tuple[int, int]]
) -> None:
    world = World(append_ms=2)
    for number, (key, priority) in enumerate(jobs, start=1):
        submit(world, a_job(number, ordering_key=key, priority=priority))
    for after, span_ms in crashes:
        world.crash_after = after
        process = Process(world)
        try:
            await process.restore()
            await process.run_for(span_ms)
            await process.save()
        except CrashError:
            continue
    world.crash_after = None
    process = Process(world)
    await process.restore()
    await process.run_for(30)
    for key in {key for key, _ in jobs}:
        first, *behind = [priority for own, priority in jobs if own == key]
        copies = [
            decode_accepted(record)
            for record in world.records(ROUTES.ready)
            if decode_accepted(record).ordering_key == key
        ]
        assert {job.priority for job in copies} == {first}
        best = max(max(job.priority, job.inherited_priority or 0) for job in copies)
        assert best == max([first, *behind])
    started = await finish(process, Runner(world, {}))
    assert sorted(job.origin for job in started) == sorted(a_job(n).origin for n in range(1, len(jobs) + 1))


async def test_a_parent_goes_on_once_more_for_an_urgent_child_with_the_results_of_its_own_parents() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    root, middle, child = a_job(1), a_job(2), a_job(3)
    ids = [root.job_id, middle.job_id]
    for job, priority, parents in ((root, 5, ()), (middle, 0, ids[:1]), (child, 9, ids[1:])):
        flow = {"workflow_id": "w", "priority": priority, "depends_on": tuple(parents)}
        if job is child:
            await process.run_for(30)
            runner.claim()
            runner.end_oldest()
            await process.run_for(60)
        submit(world, msgspec.structs.replace(job, **flow))
    await process.run_for(60)
    jobs = [decode_accepted(record) for record in world.records(ROUTES.ready)]
    first, second = (job for job in jobs if job.origin == middle.origin)
    assert (first.inherited, second.inherited) == (None, Urgency(9))
    assert list(second.parent_results) == [root.job_id]
    assert second == first.inheriting(Urgency(9))
    started = await finish(process, runner)
    assert [job.origin for job in started] == [root.origin, middle.origin, child.origin]


async def test_a_copy_of_a_job_that_has_another_gate_before_it_passes_that_gate() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    submit(world, a_job(1, ordering_key="k"))
    await process.run_for(30)
    low = a_job(2, workflow_id="w", ordering_key="k", priority=0)
    due = a_job(4, workflow_id="w", run_at_ms=START_MS + 5000, priority=0)
    submit(world, low)
    submit(world, due)
    await process.run_for(30)
    waits = {"workflow_id": "w", "depends_on": (low.job_id, due.job_id), "priority": 9}
    submit(world, a_job(3, **waits))
    await process.run_for(60)
    assert [origin for origin, *_ in ready(world)] == [a_job(1).origin]
    await process.run_for(5000)
    started = await finish(process, runner)
    assert [job.origin for job in started] == [a_job(number).origin for number in (1, 4, 2, 3)]
    copies = [
        record for record in world.records(ROUTES.ready) if decode_accepted(record).origin == due.origin
    ]
    assert len(copies) == 2
    assert min(record.timestamp_ms for record in copies) >= START_MS + 5000
