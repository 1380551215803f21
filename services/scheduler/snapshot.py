"""Write snapshots of the gates beside the work, so that their logs can be trimmed."""

import asyncio
import logging
from collections.abc import Callable

from core.snapshot_rule import SnapshotRule
from ports.gate_snapshots import GateSnapshots
from ports.log import Appender, GroupMember
from ports.snapshot_shelf import TornSnapshotError
from ports.stage import stopped_within
from schemas.gate_logs import GateLogs, Image

logger = logging.getLogger(__name__)

TURN_S = 0.5
"""Time between two looks; above the interval of commits, which a snapshot waits for."""


class GateSnapshotter:
    """Takes images of owned partitions in turn, and writes each once all its work is committed.

    So no snapshot reaches beyond the group's committed offsets, and whatever a restart may do again can be
    read: logs are trimmed only below what the kept snapshots need.

    Parameters
    ----------
    now_s
        A clock that only goes forward, seconds.
    """

    def __init__(
        self,
        snapshots: GateSnapshots,
        logs: GateLogs,
        member: GroupMember,
        appender: Appender,
        rule: SnapshotRule,
        now_s: Callable[[], float],
    ) -> None:
        self._snapshots = snapshots
        self._logs = logs
        self._member = member
        self._appender = appender
        self._rule = rule
        self._now_s = now_s
        self._last: dict[int, tuple[int, float]] = {}
        """Per partition the sum of the positions of its last snapshot, and when to count from."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Write snapshots until ``stopping``; one under way then is given up."""
        while not stopping.is_set():
            for partition in sorted(self._member.assignment.partitions):
                if not stopping.is_set():
                    await self._consider(partition, stopping)
            await stopped_within(stopping, TURN_S)

    async def _consider(self, partition: int, stopping: asyncio.Event) -> None:
        position = sum(map(self._logs.next_offset, self._logs.places(partition).values()))
        written, since_s = self._last.setdefault(partition, (0, self._now_s()))
        if not self._rule.is_due(position - written, self._now_s() - since_s):
            return
        image, assignment = self._logs.image(partition), self._member.assignment.number
        while not self._is_committed(image):
            if await stopped_within(stopping, TURN_S) or self._member.assignment.number != assignment:
                return
        try:
            await self._snapshots.save(self._appender, image)
        except TornSnapshotError as error:
            logger.warning("%s; the next try is later", error)
        self._last[partition] = (sum(image.positions().values()), self._now_s())

    def _is_committed(self, image: Image) -> bool:
        """Whether everything before the image was acted on and that is committed."""
        if image.partition not in self._member.assignment.partitions:
            return False
        places, positions = self._logs.places(image.partition), image.positions()
        return all(self._member.committed(place) >= positions[name] for name, place in places.items())
