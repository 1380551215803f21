"""How much of the execution topics an executor reads ahead, and what it commits."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest
from typing_extensions import override

from core.log import Record, TopicPartition
from ports.log import Assignment, Batch
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.codec import encode
from schemas.topics import RouteMap
from services.executor import fetch
from services.executor.fetch import LANE_MAX_BYTES, Fetcher
from tests.support.executor import executor_context
from tests.support.scoring import standard_law

ROUTES = RouteMap()
LANE = TopicPartition(ROUTES.execution("default", 0), 0)
PAYLOAD_BYTES = 200_000


def dispatch(offset: int, payload_bytes: int) -> Record:
    job = AcceptedJob(
        origin=f"e:0:{offset}",
        job_id=f"01234567-89ab-7def-8123-4567{offset:08d}",
        type="email.send",
        tenant="default",
        pool="default",
        payload=msgspec.Raw(b'"' + b"x" * payload_bytes + b'"'),
        priority=5,
        submitted_ms=1,
        timeout_s=300,
        max_attempts=5,
        body_hash="0" * 16,
        trace_id="0" * 32,
    )
    return Record(*LANE, offset, 1, None, encode(QueuedJob(job, 1, 0, 0.0)), ())


class Member:
    """Gives one record a poll until paused or empty, then tells ``idle``."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.assignment = Assignment(1, frozenset({0}))
        self.waiting = list(records)
        self.paused: set[TopicPartition] = set()
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.idle = asyncio.Event()
        self.may_commit = asyncio.Event()
        self.committing = asyncio.Event()
        self.may_commit.set()

    async def poll(self, _timeout_s: float) -> Batch:
        await asyncio.sleep(0)
        if self.paused or not self.waiting:
            self.idle.set()
            return Batch(1, [])
        return Batch(1, [self.waiting.pop(0)])

    def pause(self, lanes: Sequence[TopicPartition]) -> None:
        self.paused |= set(lanes)

    def resume(self, lanes: Sequence[TopicPartition]) -> None:
        self.paused -= set(lanes)

    async def commit(self, _assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        self.commits.append(dict(positions))
        self.committing.set()
        await self.may_commit.wait()
        return True


def fetcher_of(member: Member) -> Fetcher:
    context = executor_context(ROUTES, cast("Any", None))
    return Fetcher(cast("Any", member), context, law=lambda: standard_law(""), lane_buffer=500)


async def test_large_jobs_are_read_ahead_by_bytes_and_not_by_count() -> None:
    member = Member([dispatch(offset, PAYLOAD_BYTES) for offset in range(40)])
    fetcher, stopping = fetcher_of(member), asyncio.Event()
    running = asyncio.create_task(fetcher.run(stopping, lambda: None, lambda: None))
    async with asyncio.timeout(5):
        await member.idle.wait()
        held_bytes = len(fetcher) * PAYLOAD_BYTES
        assert LANE_MAX_BYTES - PAYLOAD_BYTES < held_bytes < LANE_MAX_BYTES + 2 * PAYLOAD_BYTES
        while member.waiting:
            member.idle.clear()
            fetcher.take(5, lambda _: True)
            await member.idle.wait()
        stopping.set()
        await running


async def test_a_lane_is_read_on_as_soon_as_it_is_half_empty_whoever_is_being_waited_for() -> None:
    member = Member([dispatch(offset, 10) for offset in range(10)])
    context = executor_context(ROUTES, cast("Any", None))
    fetcher = Fetcher(cast("Any", member), context, law=lambda: standard_law(""), lane_buffer=4)
    stopping = asyncio.Event()
    running = asyncio.create_task(fetcher.run(stopping, lambda: None, lambda: None))
    async with asyncio.timeout(5):
        await member.idle.wait()
        assert member.paused == {LANE}

        fetcher.take(2, lambda _: True)
        assert member.paused == {LANE}, "half full"
        fetcher.take(1, lambda _: True)
        assert not member.paused

        stopping.set()
        await running


class Moving(Member):
    """Gives what it is told to give, under the assignment it has then."""

    def __init__(self) -> None:
        super().__init__([])
        self.assignment = Assignment(1, frozenset({0, 1}), {0: 1, 1: 1})
        self.batches: asyncio.Queue[list[Record]] = asyncio.Queue()

    @override
    async def poll(self, _timeout_s: float) -> Batch:
        records = await self.batches.get()
        return Batch(self.assignment.number, records)


async def test_a_rebalance_keeps_what_was_fetched_of_kept_partitions_and_drops_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "COMMIT_INTERVAL_S", 0.0)
    member, other = Moving(), LANE._replace(partition=1)
    fetcher, stopping = fetcher_of(member), asyncio.Event()
    arrived, told = asyncio.Queue[None](), asyncio.Queue[None]()
    running = asyncio.create_task(
        fetcher.run(stopping, lambda: arrived.put_nowait(None), lambda: told.put_nowait(None))
    )
    async with asyncio.timeout(5):
        member.batches.put_nowait([])
        await told.get()
        kept = [dispatch(offset, 10) for offset in range(3)]
        member.batches.put_nowait([*kept, dispatch(7, 10)._replace(partition=1)])
        await arrived.get()
        taken = fetcher.take(1, lambda _: True)
        # Handled while the rebalance was under way, when nothing can be committed.
        fetcher.handled(taken)
        member.assignment = Assignment(2, frozenset({0, 1}), {0: 1, 1: 2})
        member.batches.put_nowait([])
        await told.get()
        await member.committing.wait()
        left = fetcher.take(9, lambda _: True)
        stopping.set()
        member.batches.put_nowait([])
        await running
    assert [job.record.offset for job in taken] == [0]
    assert [(job.record.partition, job.record.offset) for job in left] == [(0, 1), (0, 2)]
    assert member.commits[0] == {LANE: 1}
    assert all(other not in positions for positions in member.commits)


async def test_what_is_handled_while_a_commit_is_under_way_is_committed_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "COMMIT_INTERVAL_S", 0.0)
    member = Member([dispatch(offset, 10) for offset in range(2)])
    fetcher, stopping = fetcher_of(member), asyncio.Event()
    running = asyncio.create_task(fetcher.run(stopping, lambda: None, lambda: None))
    async with asyncio.timeout(5):
        await member.idle.wait()
        first, second = fetcher.take(2, lambda _: True)
        member.may_commit.clear()
        fetcher.handled([first])
        await member.committing.wait()
        fetcher.handled([second])
        member.may_commit.set()
        while len(member.commits) < 2:  # noqa: ASYNC110 - the fetcher comes round by itself
            await asyncio.sleep(0)
        stopping.set()
        await running
    assert [positions[LANE] for positions in member.commits] == [1, 2]
