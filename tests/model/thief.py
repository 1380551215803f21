"""How an executor of the walk steals: the service's own thief, told by the walk when and what to read."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import cast

from core.log import TopicPartition
from ports.log import Assignment, Batch, GroupProgress, next_assignment
from services.executor.context import ExecutorContext
from services.executor.fetch import Fetcher
from services.executor.held import Held
from services.executor.lanes import ForeignLanes
from services.executor.steal import Thief
from tests.model.process import Log, TrimmedError


class ModelLanes:
    """What a thief reads of the one partition while another executor owns it."""

    def __init__(self) -> None:
        self.assignment = Assignment(0, frozenset())

    async def poll(self, timeout_s: float, max_records: int = 0) -> Batch:
        # The walk hands records to the thief itself.
        raise NotImplementedError

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        return True


def model_thief(
    context: ExecutorContext, foreign: Fetcher, held: Held, owned: Callable[[], frozenset[int]]
) -> Thief:
    """Make a thief that never looks by itself."""
    return Thief(
        context,
        cast("GroupProgress", None),
        cast("ForeignLanes", None),
        foreign,
        held,
        most=1,
        owned=owned,
        can_follow=_never_asked,
        spare=asyncio.Event(),
        draw=lambda: 0.0,
    )


def begin(thief: Thief, foreign: Fetcher, partitions: frozenset[int]) -> None:
    """Follow exactly these; what was read is forgotten."""
    thief._until = dict.fromkeys(partitions, float("inf"))
    lanes = cast("ModelLanes", foreign._member)
    lanes.assignment = next_assignment(lanes.assignment, partitions, frozenset())
    foreign._follow_assignment()


def read_on(
    topics: Sequence[str],
    log: Log,
    thief: Thief,
    foreign: Fetcher,
    positions: dict[str, int],
    random: Random,
) -> None:
    """Read a little more of every lane, or let all of them go where they were trimmed below that."""
    try:
        for topic in topics:
            start = positions.get(topic, 0)
            records = log.read(topic, start, random.randint(0, 2))
            foreign._offer(records)
            positions[topic] = start + len(records)
    except TrimmedError:
        begin(thief, foreign, frozenset())


async def _never_asked(_partition: int) -> bool:
    # Only the loop asks, and the walk takes its steps one by one.
    raise NotImplementedError
