"""How an executor of the walk steals: the service's own thief, told by the walk when and what to read."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from core.log import TopicPartition
from ports.log import Assignment, Batch, GroupProgress, next_assignment
from services.executor.context import ExecutorContext
from services.executor.fetch import Fetcher
from services.executor.held import Held
from services.executor.lanes import ForeignLanes
from services.executor.steal import Thief


class ModelLanes:
    """What a thief reads of the one partition while another executor owns it."""

    def __init__(self) -> None:
        self.assignment = Assignment(0, frozenset())

    async def poll(self, timeout_s: float, max_records: int = 0) -> Batch:
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
        spare_slots=lambda: 0,
        draw=lambda: 0.0,
    )


def begin(thief: Thief, foreign: Fetcher, partitions: frozenset[int]) -> None:
    """Follow exactly these; what was read is forgotten."""
    thief._until = dict.fromkeys(partitions, float("inf"))
    lanes = cast("ModelLanes", foreign._member)
    lanes.assignment = next_assignment(lanes.assignment, partitions, frozenset())
    foreign._follow_assignment()


async def _never_asked(_partition: int) -> bool:
    raise NotImplementedError
