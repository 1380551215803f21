"""Follow the ledger: which claims hold, which jobs are to stop, what is finished."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from core.ledger.outcome import Outcome
from core.ledger.verdicts import Cancel, Claimed, Lost
from core.log import TopicPartition
from ports.log import GatheringReader
from ports.snapshots import SnapshotStore
from schemas.executors import dispatch_key
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

POLL_S = 0.5
TAIL_MAX_RECORDS = 200_000
"""Longest stretch of a ledger read for the sake of stealing: about a second of work."""


class Follower:
    """Reads the ledger of owned partitions, and of others as long as something is held there.

    Belongs to no group: a rebalance cannot come between a claim and its read-back.
    """

    def __init__(
        self, reader: GatheringReader, routes: RouteMap, folds: LedgerFolds, snapshots: SnapshotStore
    ) -> None:
        self._reader = reader
        self._routes = routes
        self._folds = folds
        self._snapshots = snapshots
        self._targets: dict[int, int] = {}
        self._followed: frozenset[int] = frozenset()
        self._wanted = asyncio.Event()

    def may_claim_on(self, partition: int) -> bool:
        """Whether the fold of this partition has been read to the end it had when it was taken over."""
        target = self._targets.get(partition)
        return target is not None and self._folds.next_offset(partition) >= target

    @property
    def caught_up(self) -> bool:
        """Whether claims may be made on every followed partition."""
        return bool(self._followed) and all(self.may_claim_on(partition) for partition in self._followed)

    def known_end(self, partition: int) -> int:
        """End of the ledger partition as far as known, without asking the broker."""
        return self._reader.known_end(TopicPartition(self._routes.ledger, partition))

    def gather(self, seconds: float) -> None:
        """See ``ports.log.GatheringReader.gather``."""
        self._reader.gather(seconds)

    async def can_follow(self, partition: int) -> bool:
        """Prepare to follow one more partition: its fold is restored beside whatever is read meanwhile.

        False when that would begin below the log's start, or so far below its end that what is
        followed already would have to wait.
        """
        ledger = TopicPartition(self._routes.ledger, partition)
        end = (await self._reader.end_offsets([ledger]))[ledger]
        await self._snapshots.restore(self._folds, {partition: end})
        start = (await self._reader.start_offsets([ledger]))[ledger]
        next_offset = self._folds.next_offset(partition)
        return start <= next_offset and end - next_offset <= TAIL_MAX_RECORDS

    async def follow(self, partitions: frozenset[int]) -> None:
        """Follow exactly these; folds of others are kept, and go on from where they stopped."""
        if partitions == self._followed:
            return
        ledger = self._routes.ledger
        fresh = [TopicPartition(ledger, p) for p in partitions - self._followed]
        ends = await self._reader.end_offsets(fresh) if fresh else {}
        await self._snapshots.restore(self._folds, {tp.partition: end for tp, end in ends.items()})
        await self._reader.assign({TopicPartition(ledger, p): self._folds.next_offset(p) for p in partitions})
        kept = {p: target for p, target in self._targets.items() if p in partitions}
        self._targets = kept | {tp.partition: end for tp, end in ends.items()}
        self._followed = partitions
        self._wanted.set()

    async def run(
        self,
        stopping: asyncio.Event,
        partitions: Callable[[], frozenset[int]],
        taken: Callable[[list[FoldedEvent]], None],
    ) -> None:
        """Read until ``stopping``; ``taken`` gets every batch, also an empty one.

        ``partitions`` says what is to be followed; asked every time round.
        """
        while not stopping.is_set():
            await self.follow(partitions())
            if not self._followed:
                await asyncio.sleep(POLL_S / 10)
                continue
            taken(self._folds.take(await self._reader.poll(POLL_S)))


class ReadClaim(NamedTuple):
    """A claim that was read back: of which dispatch, which of ours, and whether it holds."""

    key: str
    seq: int
    holds: bool


def claims_of(events: Iterable[FoldedEvent], executor: str) -> list[ReadClaim]:
    """Give the claims by ``executor`` among what was read."""
    return [
        ReadClaim(dispatch_key(event.event.origin, event.event.n), event.event.seq, _holds(event.outcome))
        for event in events
        if isinstance(event.event, Claimed) and event.event.executor == executor
    ]


def stops_of(events: Iterable[FoldedEvent], executor: str) -> list[tuple[str, str]]:
    """Give the dispatches of ``executor`` that must stop, and why: cancelled, or declared lost."""
    stops: list[tuple[str, str]] = []
    for event in events:
        verdict, outcome = event.event, event.outcome
        if outcome is None or not outcome.holds:
            continue
        claim = outcome.job.claim if outcome.job is not None else None
        if claim is None or claim.executor != executor:
            continue
        if isinstance(verdict, Cancel) and outcome.state is None:
            stops.append((dispatch_key(claim.origin, claim.n), "cancelled"))
        elif isinstance(verdict, Lost):
            stops.append((dispatch_key(claim.origin, claim.n), "lost"))
    return stops


def cancelled_unclaimed(events: Iterable[FoldedEvent]) -> list[str]:
    """Give the ids of the jobs that a cancel ended at once: nobody had claimed them."""
    return [
        event.event.job_id
        for event in events
        if isinstance(event.event, Cancel)
        and event.outcome is not None
        and event.outcome.holds
        and event.outcome.state is not None
    ]


def _holds(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.holds
