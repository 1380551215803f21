"""Keep watch over executors: ask the silent ones, and close the claims that nobody can be running."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from core.keeper import DeclareLost, Keeper, OpenClaims, SendProbe
from core.log import NewRecord, Record, TopicPartition
from ports.failpoints import Failpoint, reached
from ports.fetch import RecordFetcher
from ports.log import Appender, GroupMember, PartitionReader
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_executor_if_known, decode_queued, encode
from schemas.executors import Demand, Heartbeat, Probe
from schemas.ledger import LedgerFolds
from schemas.routing import failed_record
from schemas.topics import RouteMap
from services.dlq_handler.decide import lost_attempt, lost_verdict

logger = logging.getLogger(__name__)

EXECUTORS_PARTITION = 0
"""``executors`` has one partition, so that probes and heartbeats stand in one order."""
DECLARE_MAX = 1000
"""Claims closed in one append; the rest follows in the next turn."""


class WrongJobError(Exception):
    """The record at a claim's coordinate is not the claimed dispatch."""


class KeepWatch:
    """Reads every heartbeat and probe, outside any group, beside the handler of the ledger.

    Looks after the claims on the partitions this instance owns. Another instance that thinks it
    owns them too does no harm: of two LOST verdicts the first holds.
    """

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        reader: PartitionReader,
        member: GroupMember,
        now_ms: Callable[[], int],
        folds: LedgerFolds,
        claims: OpenClaims,
        fetcher: RecordFetcher,
        folded: asyncio.Event,
        *,
        keeper: Keeper,
        name: str,
        turn_s: float,
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._reader = reader
        self._member = member
        self._now_ms = now_ms
        self._folds = folds
        self._claims = claims
        self._fetcher = fetcher
        self._folded = folded
        self._keeper = keeper
        self._name = name
        self._turn_s = turn_s
        self._topic = TopicPartition(routes.executors, EXECUTORS_PARTITION)
        self._restore_to = 0

    async def start(self) -> None:
        """Begin at the oldest heartbeat there is."""
        start = (await self._reader.start_offsets([self._topic]))[self._topic]
        self._restore_to = (await self._reader.end_offsets([self._topic]))[self._topic]
        await self._reader.assign({self._topic: start})

    async def run(self, stopping: asyncio.Event) -> None:
        """Keep watch until ``stopping``."""
        while not stopping.is_set():
            await self.turn()

    async def turn(self) -> None:
        """Read what is new, then ask and declare; takes ``turn_s`` when nothing is new."""
        for record in await self._reader.poll(self._turn_s):
            self._read(record)
        if self._reader.position(self._topic) < self._end_known():
            return
        now_ms = self._now_ms()
        self._keeper.forget(now_ms, self._claims)
        await self._ask(self._keeper.probes_due(now_ms, self._claims, self._owned()))
        if losses := self._losses():
            await self._declare(await self._still_lost(losses))

    def _owned(self) -> frozenset[int]:
        return self._member.assignment.partitions

    def _end_known(self) -> int:
        return max(self._restore_to, self._reader.known_end(self._topic))

    def _losses(self) -> list[DeclareLost]:
        return self._keeper.losses(self._claims, self._owned())[:DECLARE_MAX]

    def _read(self, record: Record) -> None:
        match decode_executor_if_known(record):
            case Heartbeat() as beat:
                self._keeper.heartbeat(
                    record.timestamp_ms, beat.executor, beat.seq, beat.held, goodbye=beat.goodbye
                )
            case Probe() as probe:
                self._keeper.probe(record.timestamp_ms, probe.executor, probe.seq)
            case Demand() | None:
                pass

    async def _ask(self, probes: list[SendProbe]) -> None:
        headers = (("schema", b"1"), ("kind", b"PROBE"))
        reached(Failpoint.SILENCE_SEEN, when=probes)
        await self._appender.append(
            [
                NewRecord(
                    self._topic.topic,
                    self._topic.partition,
                    probe.executor.encode(),
                    encode(Probe(probe.executor, probe.seq, self._name)),
                    headers,
                )
                for probe in probes
            ]
        )
        reached(Failpoint.PROBE_APPENDED, when=probes)
        for probe in probes:
            logger.warning("asked whether executor %s lives: silent for a lease", probe.executor)

    async def _still_lost(self, losses: list[DeclareLost]) -> list[DeclareLost]:
        """Read the ledger to its end as of now, then look again: a closure may be on its way here.

        So may our own LOST of the turn before, which is why nothing is declared twice.
        """
        ledger = self._routes.ledger
        partitions = {loss.claim.partition for loss in losses}
        ends = await self._reader.end_offsets([TopicPartition(ledger, number) for number in partitions])
        try:
            await asyncio.wait_for(self._until_folded(ends), self._turn_s)
        except TimeoutError:
            # Far behind, or the partition has moved away: the next turn looks again.
            return []
        seen = set(losses)
        return [loss for loss in self._losses() if loss in seen]

    async def _until_folded(self, ends: dict[TopicPartition, int]) -> None:
        while any(self._folds.next_offset(tp.partition) < end for tp, end in ends.items()):
            self._folded.clear()
            await self._folded.wait()

    async def _declare(self, losses: list[DeclareLost]) -> None:
        if not losses:
            return
        records = await self._fetcher.fetch(loss.claim.dispatched for loss in losses)
        jobs = [_claimed_job(loss, records[loss.claim.dispatched]) for loss in losses]
        now_ms = self._now_ms()
        reached(Failpoint.LOSS_PROVEN)
        written = await self._appender.append(
            [self._dlq_record(loss, job, now_ms) for loss, job in zip(losses, jobs, strict=True)]
        )
        reached(Failpoint.LOST_ATTEMPT_APPENDED)
        await self._appender.append(
            [
                lost_verdict(loss, place.offset, self._routes)
                for loss, place in zip(losses, written, strict=True)
            ]
        )
        reached(Failpoint.LOST_APPENDED)
        for (executor, reason), count in Counter((x.claim.executor, x.reason) for x in losses).items():
            logger.warning("declared %d dispatches of executor %s lost: %s", count, executor, reason)

    def _dlq_record(self, loss: DeclareLost, job: AcceptedJob, now_ms: int) -> NewRecord:
        return failed_record(self._routes, lost_attempt(loss, job, now_ms), b"LOST")


def _claimed_job(loss: DeclareLost, record: Record) -> AcceptedJob:
    job = decode_queued(record).job
    if (job.origin, job.n) != (loss.claim.origin, loss.claim.n):
        raise WrongJobError(
            f"claim {loss.claim.dispatch} names {record.topic}/{record.partition}/{record.offset}, "
            f"where {job.origin}/{job.n} stands: the topic was recreated or the ledger is damaged"
        )
    return job
