"""The loop of a plain stage: poll, work, and only then let go; and the pause of loops beside it."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from core.log import Record, TopicPartition
from core.offsets import next_positions
from ports.failpoints import Failpoint, reached
from ports.log import GroupMember

POLL_S = 0.5
"""Longest wait for records; also how soon a stop is noticed."""
COMMIT_INTERVAL_S = 0.25
"""Commits are at least this far apart under load: repeating a little work costs less than a
commit per small batch, and repeats are harmless by the delivery law."""

Work = Callable[[list[Record]], Awaitable[None]]


async def stopped_within(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait for so long, or until told to stop; say whether that was said."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
    return stopping.is_set()


async def run_stage(
    member: GroupMember,
    work: Work,
    *,
    stopping: asyncio.Event,
    turn: Callable[[], None],
    max_records: int = 2000,
) -> None:
    """Hand every record to ``work``; commit what it returned from. Runs until ``stopping``.

    ``work`` returns only when all outputs of its records are acknowledged; whatever it raises
    ends the loop with nothing of that batch committed. ``turn`` is called every time round.
    """
    pending: dict[TopicPartition, int] = {}
    assignment = 0
    committed_at_s = time.monotonic()
    while not stopping.is_set():
        batch = await member.poll(POLL_S, max_records)
        turn()
        if batch.assignment != assignment:
            kept = member.assignment.kept_since(assignment)
            pending = {tp: position for tp, position in pending.items() if tp.partition in kept}
            assignment = batch.assignment
        if batch.records:
            reached(Failpoint.POLLED)
            await work(batch.records)
            reached(Failpoint.WORKED)
            pending |= next_positions(batch.records)
        due = time.monotonic() - committed_at_s >= COMMIT_INTERVAL_S
        if pending and (due or not batch.records) and await member.commit(assignment, pending):
            pending = {}
            committed_at_s = time.monotonic()
            reached(Failpoint.COMMITTED)
    reached(Failpoint.STOPPING)
    await member.commit(assignment, pending)
    reached(Failpoint.LAST_COMMITTED)
