"""The workflow gate through the scheduler's own steps: parents first, each job once, whatever crashes."""

from collections.abc import Collection

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from core.gates.dependencies import OnParentFailure, ParentGroup
from core.gates.fold import Passed
from core.gates.gate import Gate
from core.gates.workflow_gate import WorkflowGate
from core.gates.workflow_graph import Parents
from core.gates.workflow_records import Tick
from core.ledger.notes import Waiting
from core.ledger.verdicts import (
    Action,
    Cancel,
    Claimed,
    Decided,
    Expired,
    Failed,
    Redriven,
    Refused,
    Skipped,
    Succeeded,
    Verdict,
)
from core.log import Record, TopicPartition
from penstock.identity import home
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, decode_event, ledger_record
from schemas.gate_keys import gates_header, keys_of
from schemas.routing import onward
from schemas.topics import JOB_MAX_BYTES
from services.scheduler.decide import carried_out
from services.scheduler.tick import Ticker
from tests.unit.services.scheduler.runner import Fate, Runner
from tests.unit.services.scheduler.simulation import (
    ROUTES,
    START_MS,
    Process,
    World,
    a_job,
)
from tests.unit.services.scheduler.test_gates import crashed, numbers, run, said, submit

TICK = Tick(unknown_wait_ms=1000, keep_ms=10_000)


def a_child(number: int, parents: tuple[int, ...] | ParentGroup = (), **more: object) -> AcceptedJob:
    named = parents if isinstance(parents, ParentGroup) else tuple(a_job(one).job_id for one in parents)
    return a_job(number, workflow_id="w", depends_on=named, **more)


class Watched(Runner):
    """Remembers the order of starts and ends."""

    def __init__(self, world: World, fates: dict[str, Fate]) -> None:
        super().__init__(world, fates)
        self.said: list[Verdict] = []

    @override
    def _say(self, verdict: Verdict) -> None:
        self.said.append(verdict)
        super()._say(verdict)

    def number(self, verdict: Verdict) -> int:
        return int(verdict.origin.rpartition(":")[2])

    def check(self, jobs: dict[int, AcceptedJob], cancelled: Collection[int] = ()) -> None:
        """Check that nobody started twice, or before all his parents had ended as he wants it.

        Who never starts was skipped or cancelled, and is over all the time; who was cancelled between two
        attempts is over when the first has ended.
        """
        succeeded, started = set[str](), set[tuple[int, int]]()
        starts = {self.number(verdict) for verdict in self.said if isinstance(verdict, Claimed)}
        over = {job.job_id for number, job in jobs.items() if number not in starts}
        for verdict in self.said:
            match verdict:
                case Claimed(n=n):
                    number = self.number(verdict)
                    assert (number, n) not in started
                    started.add((number, n))
                    job = jobs[number]
                    assert not isinstance(job.depends_on, ParentGroup)
                    runs = job.on_parent_failure is OnParentFailure.RUN
                    assert set(job.depends_on) <= (over if runs else succeeded)
                case Succeeded():
                    succeeded.add(verdict.job_id)
                    over.add(verdict.job_id)
                case Decided(action=Action.DEAD):
                    over.add(verdict.job_id)
                case Failed() if self.number(verdict) in cancelled:
                    over.add(verdict.job_id)
                case _:
                    pass


def redrive(world: World, job: AcceptedJob, n: int) -> None:
    """Open a dead job again, and hand it on as the dlq_handler does when it has read that."""
    header = gates_header(keys_of(job.tenant, job.workflow_id, job.ordering_key))
    world.put(ledger_record(ROUTES, Redriven(job.origin, job.job_id, n, ROUTES.dead, 0, 0, "desk"), header))
    for record in onward(ROUTES, msgspec.structs.replace(job, n=n, attempt=1), None, world.now_ms):
        world.put(record)


def states(world: World) -> dict[str, set[str]]:
    """Say who was skipped and who was refused, by job id."""
    return {
        "skipped": {event.job_id for event in said(world, Skipped) if isinstance(event, Skipped)},
        "refused": {event.job_id for event in said(world, Refused) if isinstance(event, Refused)},
    }


async def test_a_child_is_told_where_its_parents_results_stand_and_passes_its_other_gates() -> None:
    world = World()
    runner, process = Watched(world, {}), Process(world)
    submit(world, a_child(3, (1, 2), ordering_key="k"))
    submit(world, a_child(1, ordering_key="k"))
    submit(world, a_child(2, idempotency_key=None, run_at_ms=START_MS + 400))
    await run(world, runner, process)
    assert numbers(runner.started) == [1, 2, 3]
    child = runner.started[-1]
    assert child.depends_on == ()
    for job_id, offset in child.parent_results.items():
        verdict = events(world, home(job_id, ROUTES.partitions))[offset]
        assert isinstance(verdict, Succeeded)
        assert verdict.job_id == job_id
    waits = [(event.job_id, event.on) for event in said(world, Waiting) if isinstance(event, Waiting)]
    assert (a_job(3).job_id, "parents") in waits


async def test_a_member_that_comes_expired_makes_its_group_whole() -> None:
    world = World()
    runner, process = Watched(world, {}), Process(world)
    submit(world, a_child(3, ParentGroup("g", 2), on_parent_failure=OnParentFailure.RUN))
    submit(world, a_child(4, ParentGroup("g", 2)))
    submit(world, a_child(1, group="g", expires_at_ms=START_MS - 1))
    submit(world, a_child(2, group="g"))
    await run(world, runner, process)
    assert numbers(runner.started) == [2, 3]
    assert [event.job_id for event in said(world, Expired) if isinstance(event, Expired)] == [a_job(1).job_id]
    assert states(world) == {"skipped": {a_job(4).job_id}, "refused": set()}


def events(world: World, partition: int) -> list[object]:
    return list(map(decode_event, world.log[TopicPartition(ROUTES.ledger, partition)]))


async def test_a_dead_parent_skips_all_below_and_its_redrive_brings_them_back() -> None:
    world = World()
    fates = {a_job(1).origin: Fate.DIES}
    runner, process = Watched(world, fates), Process(world)
    for job in (a_child(1), a_child(2, (1,)), a_child(3, (2,)), a_child(4, (3,), ordering_key="k")):
        submit(world, job)
    await run(world, runner, process)
    assert numbers(runner.started) == [1]
    assert states(world)["skipped"] == {a_job(number).job_id for number in (2, 3, 4)}
    fates.clear()
    redrive(world, a_child(1), 2)
    await run(world, runner, process)
    assert [(number, job.n) for number, job in zip(numbers(runner.started), runner.started, strict=True)] == [
        (1, 1),
        (1, 2),
        (2, 2),
        (3, 2),
        (4, 2),
    ]


async def test_ticks_come_when_something_waits_for_them_and_only_once() -> None:
    world = World()
    process = Process(world)
    ticker = Ticker(ROUTES, process.logs, process.member, world, lambda: world.now_ms, TICK)
    submit(world, a_child(1, (2,)))
    submit(world, a_child(2, (1,)))
    submit(world, a_job(3, workflow_id="v", depends_on=(a_job(9).job_id,)))
    await process.run_for(500)
    await ticker.turn()
    assert ticks(world) == 0
    await process.run_for(700)
    await ticker.turn()
    await ticker.turn()
    assert 1 <= ticks(world) <= 2
    await process.run_for(100)
    await ticker.turn()
    await process.run_for(1000)
    await ticker.turn()
    await process.run_for(100)
    assert states(world)["refused"] == {a_job(number).job_id for number in (1, 2, 3)}


def ticks(world: World) -> int:
    return sum(record.header("kind") == b"TICK" for record in world.records(ROUTES.workflows))


def test_a_child_without_room_for_where_its_results_stand_goes_on_without_them() -> None:
    results = {a_job(number).job_id: number for number in range(100)}
    passed = Passed(0, 1, Parents(results))

    def ready(payload_bytes: int) -> AcceptedJob:
        payload = msgspec.Raw(b'"%s"' % (b"x" * payload_bytes))
        (record,) = carried_out(ROUTES, Gate.WORKFLOW, passed, a_child(1, payload=payload), START_MS)
        return decode_accepted(Record(record.topic, 0, 0, 0, None, record.value, ()))

    assert ready(1000).parent_results == results
    full = ready(JOB_MAX_BYTES - 3000)
    assert full.parent_results == {}
    assert "takes more room than the job's record has" in full.parents_omitted


_JOBS = st.lists(
    st.tuples(
        st.lists(st.integers(1, 8), max_size=3),
        st.sampled_from(list(Fate)),
        st.sampled_from(list(OnParentFailure)),
        st.integers(0, 300),
        st.sampled_from([None, None, None, "k"]),
        st.sampled_from([None, None, None, None, 0, 150]),
    ),
    min_size=1,
    max_size=8,
)


_FIRST = Fate.SUCCEEDS, OnParentFailure.SKIP, 0, None
_CANCELLED_BETWEEN_ATTEMPTS = [
    ([], Fate.SUCCEEDS, OnParentFailure.SKIP, 28, None, None),
    ([], Fate.SUCCEEDS_AT_LAST, OnParentFailure.SKIP, 0, None, 150),
    *[([], *_FIRST, None)] * 4,
    ([2], Fate.SUCCEEDS, OnParentFailure.RUN, 0, None, None),
]


@settings(max_examples=100)
@example(_CANCELLED_BETWEEN_ATTEMPTS, [], 0)
@given(
    _JOBS,
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 300)), max_size=5),
    st.sampled_from([0, 10_000]),
)
async def test_crashes_anywhere_repeat_nothing_start_nothing_early_and_leave_nobody_behind(
    drawn: list[tuple[list[int], Fate, OnParentFailure, int, str | None, int | None]],
    crashes: list[tuple[int, int]],
    cache_bytes: int,
) -> None:
    world, fates, jobs, cancelled = (
        World(append_ms=2),
        dict[str, Fate](),
        dict[int, AcceptedJob](),
        set[int](),
    )
    runner = Watched(world, fates)
    for number, (parents, fate, policy, at_ms, key, cancel_ms) in enumerate(drawn, start=1):
        above = tuple(dict.fromkeys(one for one in parents if one < number))
        job = jobs[number] = a_child(number, above, on_parent_failure=policy, ordering_key=key)
        fates[job.origin] = fate
        # The larger a number, the sooner it comes: children before their parents.
        submit(world, job, at_ms)
        if cancel_ms is not None:
            world.put_later(ledger_record(ROUTES, Cancel(job.origin, job.job_id, "test")), cancel_ms)
            cancelled.add(number)
    process = await crashed(world, runner, crashes, cache_bytes)
    await run(world, runner, process, 5 * len(jobs) + 20)
    runner.check(jobs, cancelled)
    dead = [
        verdict for verdict in runner.said if isinstance(verdict, Decided) and verdict.action is Action.DEAD
    ]
    fates.clear()
    for verdict in dead:
        redrive(world, jobs[runner.number(verdict)], verdict.n + 1)
    await run(world, runner, process, 5 * len(jobs) + 20)
    starts = [(runner.number(one), one.n) for one in runner.said if isinstance(one, Claimed)]
    assert len(set(starts)) == len(starts)
    if not cancelled:
        succeeded = {runner.number(one) for one in runner.said if isinstance(one, Succeeded)}
        assert succeeded == set(jobs), "whatever was skipped or waited came back with the redrives"
        assert waiting(process) == 0


def waiting(process: Process) -> int:
    folds = [process.logs.folds(partition).gates[Gate.WORKFLOW] for partition in range(ROUTES.partitions)]
    return sum(fold.waiting for fold in folds if isinstance(fold, WorkflowGate))
