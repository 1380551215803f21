"""The order gate through the scheduler's own steps: in turn, one at a time, whatever crashes."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.gates.gate import Gate
from core.gates.order_gate import KeyReleased, OnBusy, OrderGate
from core.ledger.notes import Waiting
from core.ledger.verdicts import Cancel, Skipped
from core.log import Appended, NewRecord, TopicPartition
from penstock.identity import home
from ports.meter import Metric
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, decode_event, job_record, ledger_record
from schemas.gate_logs import LEDGER
from schemas.gates import key_released_record
from schemas.routing import begins_at_home, gates_of, onward
from services.scheduler.decide import OnDead
from tests.unit.services.scheduler.runner import Fate, Runner
from tests.unit.services.scheduler.simulation import (
    EPOCH,
    ROUTES,
    START_MS,
    CrashError,
    Process,
    World,
    a_job,
)


def submit(world: World, job: AcceptedJob, at_ms: int = 0) -> None:
    """Hand a job over as ingest does, the note first; ``at_ms`` after the start."""
    records = [ledger_record(ROUTES, accepted_note(job))]
    if begins_at_home(job, gates_of(job, START_MS)):
        records.append(job_record(ROUTES.gates, home(job.job_id, ROUTES.partitions), job, job, b"GATED"))
    else:
        records += onward(ROUTES, job, None, START_MS)
    if job.idempotency_key is not None:
        del records[0]
    for record in records:
        if at_ms:
            world.put_later(record, at_ms)
        else:
            world.put(record)


async def run(world: World, runner: Runner, process: Process, turns: int = 60) -> None:
    """Let jobs pass and run until nothing is left to do."""
    for _ in range(turns):
        await process.run_for(30)
        runner.claim()
        runner.end_oldest()


async def crashed(
    world: World, runner: Runner, crashes: Iterable[tuple[int, int]], cache_bytes: int
) -> Process:
    """Give the scheduler that goes on after others; each ran for so long, or died at an append before."""
    for after, span_ms in crashes:
        world.crash_after = after
        process = Process(world, cache_bytes=cache_bytes)
        try:
            await process.restore()
            await process.run_for(span_ms)
            runner.claim()
            runner.end_oldest()
            await process.save()
        except CrashError:
            continue
    world.crash_after = None
    process = Process(world, cache_bytes=cache_bytes)
    await process.restore()
    return process


def numbers(jobs: Iterable[AcceptedJob]) -> list[int]:
    return [int(job.origin.rpartition(":")[2]) for job in jobs]


def said(world: World, kind: type[object]) -> list[object]:
    return [event for event in map(decode_event, world.records(ROUTES.ledger)) if isinstance(event, kind)]


async def test_jobs_of_a_key_run_in_turn_through_retries_and_deaths_and_others_are_not_held_up() -> None:
    world = World()
    for number in range(1, 6):
        submit(world, a_job(number, ordering_key="k"))
    submit(world, a_job(9, ordering_key="other"))
    submit(world, a_job(10, ordering_key="k", tenant="else"))
    runner = Runner(world, {f"{EPOCH}:0:1": Fate.SUCCEEDS_AT_LAST, f"{EPOCH}:0:3": Fate.DIES})
    process = Process(world)
    await process.run_for(30)
    runner.claim()
    assert sorted(numbers(runner.started)) == [1, 9, 10]
    waits = [(event.job_id, event.on) for event in said(world, Waiting) if isinstance(event, Waiting)]
    assert waits == [(a_job(number).job_id, "order") for number in range(2, 6)]
    await run(world, runner, process)
    of_key = [job for job in runner.started if (job.tenant, job.ordering_key) == ("acme", "k")]
    assert numbers(of_key) == [1, 1, 2, 3, 4, 5]
    assert process.meter.counts[Metric.GATED, (("gate", "order"), ("outcome", "waits"))] == 4
    assert len(process.waiting) == 0


async def test_that_a_job_is_accepted_is_acknowledged_before_it_enters() -> None:
    world, calls = World(), list[list[str]]()
    process = Process(world)
    append = world.append

    async def noted(records: Sequence[NewRecord]) -> list[Appended]:
        calls.append([record.topic for record in records])
        return await append(records)

    world.append = noted  # type: ignore[method-assign]
    submit(world, a_job(1, ordering_key="k", idempotency_key="i"))
    await process.run_for(30)
    assert [call for call in calls if call][:2] == [[ROUTES.ledger], [ROUTES.orders]]


async def test_a_cancelled_job_leaves_the_queue_also_when_its_cancel_came_first() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    early = a_job(5, ordering_key="k")
    runner.cancel(early)
    for number in range(1, 5):
        submit(world, a_job(number, ordering_key="k"))
    submit(world, early)
    await process.run_for(30)
    runner.cancel(a_job(2))
    await run(world, runner, process)
    assert numbers(runner.started) == [1, 3, 4]


async def test_a_dead_job_blocks_its_key_where_the_setting_says_so_until_a_person_decides() -> None:
    world = World()
    runner = Runner(world, {f"{EPOCH}:0:1": Fate.DIES})
    process = Process(world, on_dead=OnDead.BLOCK)
    for number in (1, 2):
        submit(world, a_job(number, ordering_key="k"))
    submit(world, a_job(3, ordering_key="other"))
    await run(world, runner, process)
    assert sorted(numbers(runner.started)) == [1, 3]
    world.put(key_released_record(ROUTES, KeyReleased("acme", "k", f"{EPOCH}:0:7", "ada")))
    await run(world, runner, process, 5)
    assert len(runner.started) == 2, "another job does not block it"
    world.put(key_released_record(ROUTES, KeyReleased("acme", "k", f"{EPOCH}:0:1", "ada")))
    # What was written about the death holds, whatever the setting says now.
    await run(world, runner, Process(world, on_dead=OnDead.RELEASE))
    assert numbers(runner.started)[2:] == [2]


async def test_a_job_that_would_rather_not_wait_is_skipped() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    submit(world, a_job(1, ordering_key="k"))
    submit(world, a_job(2, ordering_key="k", on_busy=OnBusy.SKIP))
    await run(world, runner, process)
    submit(world, a_job(3, ordering_key="k", on_busy=OnBusy.SKIP))
    await run(world, runner, process)
    assert numbers(runner.started) == [1, 3]
    (skipped,) = said(world, Skipped)
    assert isinstance(skipped, Skipped)
    assert skipped.job_id == a_job(2).job_id
    assert "on_busy" in skipped.reason


async def test_a_job_of_the_future_enters_its_key_when_it_is_due() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    submit(world, a_job(1, ordering_key="k", run_at_ms=START_MS + 900))
    submit(world, a_job(2, ordering_key="k", idempotency_key="i"))
    await process.run_for(300)
    assert world.records(ROUTES.orders)[0].timestamp_ms < START_MS + 300
    await run(world, runner, process)
    assert numbers(runner.started) == [2, 1]
    entered = [r for r in world.records(ROUTES.orders) if r.header("kind") == b"ENTERED"]
    assert decode_accepted(entered[1]).run_at_ms == START_MS + 900
    assert entered[1].timestamp_ms >= START_MS + 900
    assert {record.partition for record in world.records(ROUTES.orders)} == {entered[0].partition}


async def test_a_waiting_job_that_expires_leaves_the_queue() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    submit(world, a_job(1, ordering_key="k"))
    submit(world, a_job(2, ordering_key="k", expires_at_ms=START_MS + 500))
    submit(world, a_job(3, ordering_key="k"))
    await process.run_for(30)
    runner.claim()
    await process.run_for(1500)
    await run(world, runner, process)
    assert numbers(runner.started) == [1, 3]


@pytest.mark.parametrize("cache_bytes", [0, 700, 1_000_000])
async def test_jobs_that_memory_has_no_room_for_are_read_again(cache_bytes: int) -> None:
    world = World()
    process = Process(world, cache_bytes=cache_bytes)
    for number in range(1, 30):
        submit(world, a_job(number, ordering_key=f"k{number % 3}"))
    runner = Runner(world, {})
    await run(world, runner, process, 90)
    assert len(runner.started) == 29
    for key in range(3):
        of_key = [n for n in numbers(runner.started) if n % 3 == key]
        assert of_key == sorted(of_key)


_JOBS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b", "c"]),
        st.sampled_from(list(Fate)),
        st.integers(0, 400),
        st.sampled_from([None, None, "id"]),
        st.sampled_from([None, None, None, 0, 100, 300]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=120)
@given(
    _JOBS,
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 300)), max_size=5),
    st.sampled_from([0, 10_000]),
)
async def test_crashes_anywhere_repeat_nothing_overtake_nothing_and_leave_nobody_behind(
    jobs: list[tuple[str | None, Fate, int, str | None, int | None]],
    crashes: list[tuple[int, int]],
    cache_bytes: int,
) -> None:
    world, fates, cancelled = World(append_ms=2), dict[str, Fate](), set[int]()
    runner = Runner(world, fates)
    for number, (key, fate, at_ms, supplied, cancel_ms) in enumerate(jobs, start=1):
        more = {"idempotency_key": f"i{number}"} if supplied else {}
        job = a_job(number, ordering_key=key, **more)
        fates[job.origin] = fate
        submit(world, job, at_ms)
        if cancel_ms is not None:
            world.put_later(ledger_record(ROUTES, Cancel(job.origin, job.job_id, "test")), cancel_ms)
            cancelled.add(number)
    process = await crashed(world, runner, crashes, cache_bytes)
    await run(world, runner, process, 5 * len(jobs) + 20)
    first_starts = [job for job in runner.started if job.n == 1]
    assert len(set(numbers(first_starts))) == len(first_starts)
    assert set(range(1, len(jobs) + 1)) - set(numbers(first_starts)) <= cancelled
    assert not [holder for gate in gates(process) for holder in gate.holders()]
    entered = [r for r in world.records(ROUTES.orders) if r.header("kind") == b"ENTERED"]
    line = list(dict.fromkeys(decode_accepted(record).origin for record in entered))
    for key in "abc":
        ran = [job.origin for job in first_starts if job.ordering_key == key]
        assert ran == [origin for origin in line if origin in set(ran)]


def gates(process: Process) -> list[OrderGate]:
    folds = [process.logs.folds(partition).gates[Gate.ORDER] for partition in range(ROUTES.partitions)]
    return [fold for fold in folds if isinstance(fold, OrderGate)]


async def test_a_restart_goes_on_from_a_snapshot_when_everything_before_it_is_gone() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    for number in range(1, 8):
        submit(world, a_job(number, ordering_key="k"))
    await run(world, runner, process, 3)
    await process.run_for(600)
    assert len(await process.save()) == ROUTES.partitions
    await run(world, runner, process, 1)
    for partition in range(ROUTES.partitions):
        for place, offset in (await process.snapshots.keep_from(partition)).items():
            world.trim(place, offset)
    assert any(world.starts[TopicPartition(ROUTES.orders, partition)] for partition in range(2))
    assert world.starts[process.logs.places(0)[LEDGER]] > 0
    restarted = Process(world, cache_bytes=0)
    await restarted.restore()
    await run(world, runner, restarted, 30)
    assert numbers(runner.started) == list(range(1, 8))
