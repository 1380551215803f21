"""Trim the topics of work: let go of what nobody can have to read again, on owned partitions, in turns."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from core.log import TopicPartition
from core.retention import Hold, Reason, SnapshotAt, TrimRule, ledger_mark, mark_of, open_holds, reader_holds
from ports.failpoints import Failpoint, reached
from ports.gate_snapshots import GateSnapshots
from ports.held_marks import HeldMarkLog
from ports.log import Assignment, GroupMember
from ports.meter import Meter, Metric
from ports.passages import PassageLog
from ports.retention import Bounds, RetentionLog, RetentionUnavailableError
from ports.snapshots import SnapshotReader
from ports.stage import stopped_within
from schemas.held import HeldMarks
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

TURN_S = 0.2
TURN_TIMEOUT_S = 120.0
"""Longest turn: a broker that does not answer must not keep snapshots from being written."""
SETTLE_S = 30.0
"""Longest wait for the handler beside to act on the ledger as far as it reached when a turn began."""


class Mark(NamedTuple):
    """How far one topic partition may be trimmed, and what there is of it."""

    bounds: Bounds
    hold: Hold


class Told(NamedTuple):
    """Where the scheduler writes down how far its topics may go."""

    passages: PassageLog
    gates: GateSnapshots
    held: HeldMarkLog


class Trimmer:
    """The janitor of the partitions this instance owns.

    The order makes it safe, whoever else owns them by now: first what the groups have committed,
    then the end of the ledger, then the fold up to there. Every dispatch below a committed offset was
    claimed or refused before that end, so a claim that comes later names a record that is kept; what
    closures and decisions before it ask for is committed before anything goes.

    Parameters
    ----------
    snapshots
        Those of the snapshotter beside, which keeps those trimmed to.
    shelf
        Held from the choice of a snapshot until the ledger begins at it.
    """

    def __init__(
        self,
        routes: RouteMap,
        log: RetentionLog,
        member: GroupMember,
        folds: LedgerFolds,
        snapshots: SnapshotReader,
        told: Told,
        meter: Meter,
        now_ms: Callable[[], int],
        rule: TrimRule,
        shelf: asyncio.Lock,
    ) -> None:
        self._routes = routes
        self._readers = routes.readers()
        self._log = log
        self._member = member
        self._folds = folds
        self._snapshots = snapshots
        self._told = told
        self._meter = meter
        self._now_ms = now_ms
        self._rule = rule
        self._shelf = shelf

    async def run(self, stopping: asyncio.Event, every_s: float) -> None:
        """Take a turn every so often until ``stopping``.

        A log that does not answer or refuses is left as it is: jobs go on, and the next turn tries again.
        """
        while not await stopped_within(stopping, every_s):
            try:
                async with asyncio.timeout(TURN_TIMEOUT_S):
                    await self.turn()
            except (RetentionUnavailableError, TimeoutError) as error:
                said = str(error) or f"no answer within {TURN_TIMEOUT_S:.0f} s"
                logger.warning("nothing was trimmed, trying again in %.0f s: %s", every_s, said)

    async def turn(self) -> None:
        """Trim what may go now; nothing when the handler beside is too far behind to say.

        Raises
        ------
        ports.retention.RetentionUnavailableError
            The log does not answer, or this client has not the right to delete records.
        """
        assignment = self._member.assignment
        marks = await self._marks(assignment)
        if marks is None:
            return
        async with self._shelf:
            await self._limit_ledger(marks)
            if self._member.assignment.number == assignment.number:
                self._measure(marks)
                await self._trim(marks)

    async def _trim(self, marks: dict[TopicPartition, Mark]) -> None:
        worth = {
            place: mark.hold.offset
            for place, mark in marks.items()
            if self._rule.is_worth_it(mark.bounds.start, mark.hold.offset)
        }
        if not worth:
            return
        trimmed: Counter[str] = Counter()
        reached(Failpoint.MARKS_KNOWN)
        starts = await self._log.trim(worth)
        reached(Failpoint.TRIMMED)
        for place, start in starts.items():
            trimmed[place.topic] += start - marks[place].bounds.start
        for topic, records in trimmed.items():
            self._meter.count(Metric.TRIMMED, records, topic=topic)
        logger.info("trimmed %s", ", ".join(f"{topic}: {count} records" for topic, count in trimmed.items()))

    async def _marks(self, assignment: Assignment) -> dict[TopicPartition, Mark] | None:
        """Give every owned partition of a trimmed topic its mark; the order of the steps matters."""
        groups = sorted({group for groups in self._readers.values() for group in groups})
        places = [
            TopicPartition(topic, number) for topic in self._readers for number in assignment.partitions
        ]
        committed = await self._log.committed(groups)
        bounds = await self._log.bounds(places)
        ends = {place.partition: bounds[place].end for place in places if place.topic == self._routes.ledger}
        settled = await self._settled(ends, assignment)
        if settled is None:
            return None
        holds = {place: reader_holds(place, self._readers[place.topic], committed) for place in places}
        for place, hold in settled.items():
            holds.setdefault(place, []).append(hold)
        for place, hold in (await self._young(places)).items():
            holds[place].append(hold)
        for number in assignment.partitions:
            told = await self._told.passages.told(number)
            known = Hold(told, Reason.KNOWN_KEYS, self._routes.known)
            holds[TopicPartition(self._routes.gates, number)].append(known)
            held = held_hold(await self._told.held.newest(number))
            holds[TopicPartition(self._routes.held, number)].append(held)
            for place, offset in (await self._told.gates.keep_from(number)).items():
                holds[place].append(Hold(offset, Reason.GATES, self._routes.gate_snapshots))
        return {place: Mark(bounds[place], mark_of(bounds[place].end, holds[place])) for place in places}

    async def _settled(
        self, ends: dict[int, int], assignment: Assignment
    ) -> dict[TopicPartition, Hold] | None:
        """Give what open jobs hold, of a state at or after these ends of which all is acted on."""
        deadline_s = time.monotonic() + SETTLE_S
        while any(self._folds.next_offset(partition) < end for partition, end in ends.items()):
            if not await self._is_ours_still(assignment, deadline_s):
                return None
        holds: dict[TopicPartition, Hold] = {}
        reached = {partition: self._folds.next_offset(partition) for partition in ends}
        for partition in ends:
            holds |= open_holds(self._folds.fold(partition).open.values(), partition, self._routes.dlq)
        while any(self._committed(partition) < offset for partition, offset in reached.items()):
            if not await self._is_ours_still(assignment, deadline_s):
                return None
        return holds

    def _committed(self, partition: int) -> int:
        return self._member.committed(TopicPartition(self._routes.ledger, partition))

    async def _is_ours_still(self, assignment: Assignment, deadline_s: float) -> bool:
        await asyncio.sleep(TURN_S)
        if self._member.assignment.number != assignment.number:
            return False
        if time.monotonic() > deadline_s:
            logger.info("nothing was trimmed: the handler is behind the ledger")
            return False
        return True

    async def _young(self, places: Collection[TopicPartition]) -> dict[TopicPartition, Hold]:
        """Hold the records of ``jobs.dlq`` that are to be kept for people, and until a verdict names them."""
        young = [place for place in places if place.topic == self._routes.dlq]
        found = await self._log.offsets_at(young, self._now_ms() - self._rule.dlq_keep_ms)
        return {place: self._rule.dlq_hold(offset) for place, offset in found.items()}

    async def _limit_ledger(self, marks: dict[TopicPartition, Mark]) -> None:
        """Let the ledger go only to an offset at which a snapshot is kept, and only when that is old."""
        ledger = [place for place in marks if place.topic == self._routes.ledger]
        sizes = await self._log.sizes(ledger)
        for place in ledger:
            size = sizes[place]
            if self._rule.is_near_cap(size):
                logger.warning(
                    "partition %d of %s has %d bytes; above %d it is kept for less than %d s",
                    *place[::-1],
                    *(size, self._rule.ledger_max_bytes, self._rule.ledger_keep_ms // 1000),
                )
            self._meter.gauge(Metric.LEDGER_BYTES, size, partition=str(place.partition))
            whole = await self._snapshots.whole(place.partition)
            kept = [SnapshotAt(one.manifest.next_offset, one.written_ms) for one in whole]
            hold = ledger_mark(marks[place].hold, kept, self._now_ms(), self._rule.keep_ms(size))
            marks[place] = marks[place]._replace(hold=hold)

    def _measure(self, marks: dict[TopicPartition, Mark]) -> None:
        kept: Counter[str] = Counter()
        held: Counter[tuple[str, str]] = Counter()
        for place, mark in marks.items():
            kept[place.topic] += mark.bounds.end - mark.bounds.start
            held[place.topic, mark.hold.reason] += mark.bounds.end - mark.hold.offset
        for topic, records in kept.items():
            self._meter.gauge(Metric.KEPT, records, topic=topic)
            for reason in Reason:
                self._meter.gauge(Metric.HELD, held[topic, reason], topic=topic, reason=str(reason))


def held_hold(marks: HeldMarks | None) -> Hold:
    """Hold ``jobs.held`` from the oldest job on that was not handed on, as far as that is written down."""
    if marks is None:
        return Hold(0, Reason.READER, "scheduler")
    reason = Reason.HELD_JOB if marks.oldest < marks.next_offset else Reason.READER
    return Hold(marks.oldest, reason, "scheduler")
