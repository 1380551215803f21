"""Begin at snapshots, and write those of the folds this instance keeps, beside its work."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from core.keeper import OpenClaims
from core.ledger.open_job import Phase
from core.log import TopicPartition
from core.snapshot_rule import SnapshotRule
from ports.log import GroupMember
from ports.snapshot_shelf import TornSnapshotError
from ports.snapshots import SnapshotStore
from ports.stage import stopped_within
from schemas.ledger import LedgerFolds

logger = logging.getLogger(__name__)

TURN_S = 0.5
"""Time between two looks; above the interval of commits, which a snapshot waits for."""


class Snapshotter:
    """Takes images of owned partitions in turn, and writes each once all its work is committed.

    So no snapshot reaches beyond the group's committed offset, and whoever takes a partition over
    may start from the newest one without missing a verdict that is still to be acted on.

    Parameters
    ----------
    now_s
        A clock that only goes forward, seconds.
    shelf
        Held while snapshots are written and removed.
    """

    def __init__(
        self,
        store: SnapshotStore,
        member: GroupMember,
        folds: LedgerFolds,
        ledger: str,
        rule: SnapshotRule,
        now_s: Callable[[], float],
        shelf: asyncio.Lock,
    ) -> None:
        self._store = store
        self._member = member
        self._folds = folds
        self._ledger = ledger
        self._rule = rule
        self._now_s = now_s
        self._shelf = shelf
        self._last: dict[int, tuple[int, float]] = {}
        """Per partition the newest snapshot's offset as far as known, and when to count from."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Write snapshots until ``stopping``; one under way then is given up."""
        while not stopping.is_set():
            for partition in sorted(self._member.assignment.partitions):
                if not stopping.is_set():
                    await self._consider(partition, stopping)
            await stopped_within(stopping, TURN_S)

    async def _consider(self, partition: int, stopping: asyncio.Event) -> None:
        if partition not in self._last:
            self._last[partition] = (await self._store.newest(partition), self._now_s())
        offset, since_s = self._last[partition]
        fold = self._folds.fold(partition)
        if not self._rule.is_due(fold.next_offset - offset, self._now_s() - since_s):
            return
        image, assignment = fold.image(), self._member.assignment.number
        while not self._is_committed(partition, image.next_offset):
            if await stopped_within(stopping, TURN_S) or self._member.assignment.number != assignment:
                return
        try:
            async with self._shelf:
                written = await self._store.save(partition, image)
        except TornSnapshotError as error:
            logger.warning("%s; the next try is later", error)
            written = None
        if written is not None:
            logger.info(
                "wrote a snapshot of ledger partition %d up to offset %d: %d chunks, %d bytes",
                partition,
                written.next_offset,
                written.chunks,
                written.size_bytes,
            )
        self._last[partition] = (image.next_offset, self._now_s())

    def _is_committed(self, partition: int, offset: int) -> bool:
        """Whether everything before ``offset`` was acted on and that is committed."""
        if partition not in self._member.assignment.partitions:
            return False
        return self._member.committed(TopicPartition(self._ledger, partition)) >= offset


async def begin_at_snapshots(
    store: SnapshotStore,
    folds: LedgerFolds,
    claims: OpenClaims,
    ledger: str,
    committed: Mapping[TopicPartition, int],
) -> None:
    """Restore folds that have no beginning, and the open claims in them.

    Never beyond what is committed: what follows it is still to be acted on.
    """
    at_most = {tp.partition: offset for tp, offset in committed.items() if tp.topic == ledger}
    for partition in await store.restore(folds, at_most):
        for job in folds.fold(partition).open.values():
            if job.phase is Phase.CLAIMED and job.claim is not None:
                claims.opened(partition, job.claim_timestamp_ms, job.claim)
