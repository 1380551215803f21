"""Hand held jobs on: when what they were held for is over, and as a rate limit has room for them.

Belongs to no group and commits nothing. What was handed on is said in ``jobs.held`` itself, so the state is
a fold of that log alone; a crash anywhere repeats hand-overs, which the ledger refuses, and loses nothing.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from core.held import HeldFold
from core.limits import Limit
from core.log import NewRecord, Record, TopicPartition
from core.subjects import Cause, HeldFor
from ports.demand import DemandWatch
from ports.failpoints import Failpoint, reached
from ports.held_marks import HeldMarkLog
from ports.log import (
    Appender,
    GroupMember,
    GroupProgress,
    OffsetOutOfRangeError,
    PartitionReader,
    ProgressUnknownError,
)
from ports.meter import Meter, Metric
from schemas.codec import decode_accepted, ledger_record
from schemas.held import HandedOn, fold_held, handed_on_record, held_note, held_record, ready_again
from schemas.standing_orders import StandingOrders
from schemas.topics import RouteMap
from services.scheduler.reread import Place, Rereads
from services.scheduler.tell import TellRule

logger = logging.getLogger(__name__)

TURN_S = 0.25
"""Longest wait for records; how soon a resume is acted on, and how often what executors want is looked at."""
READY_MAX = 2000
"""Records of a partition of ``jobs.ready`` that may wait for a prioritizer when held jobs are handed on: a
new job waits behind no more of them."""
NO_ROOM_S = 0.05
"""How soon it is asked again whether there is room."""
LOOK_S = 1.0
"""How often it is looked whether marks are due."""
ON_THE_WAY_S = 1.5
"""How long a job that was handed on to a limited subject may not be seen to wait in an executor yet: a
prioritizer and an executor fetch it, then the slot ends in which the executor says so."""


class OnTheWay:
    """How many jobs were handed on lately, by limit."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._handed: dict[str, deque[tuple[float, int]]] = {}

    def add(self, held_for: str, count: int) -> None:
        """Note some that were handed on now."""
        self._handed.setdefault(held_for, deque()).append((self._now_s(), count))

    def of(self, held_for: str) -> int:
        """Give how many may not be seen yet."""
        handed, since_s = self._handed.get(held_for, deque()), self._now_s() - ON_THE_WAY_S
        while handed and handed[0][0] < since_s:
            handed.popleft()
        return sum(count for _, count in handed)


class _Handed(NamedTuple):
    place: Place
    start: int
    until: int
    records: list[Record]


class HandOn:
    """Folds ``jobs.held`` of the partitions that ``member`` owns, and hands on what may go on.

    Parameters
    ----------
    tail
        Follows ``jobs.held``; used for this alone.
    progress
        Of the group of the prioritizers.
    marks_rule
        When it is written down how far a partition is handed on.
    """

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        member: GroupMember,
        tail: PartitionReader,
        rereads: Rereads,
        marks: HeldMarkLog,
        orders: StandingOrders,
        demand: DemandWatch,
        progress: GroupProgress,
        meter: Meter,
        now_ms: Callable[[], int],
        marks_rule: TellRule,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._member = member
        self._tail = tail
        self._rereads = rereads
        self._marks = marks
        self._orders = orders
        self._demand = demand
        self._progress = progress
        self._meter = meter
        self._now_ms = now_ms
        self._marks_rule = marks_rule
        self._now_s = now_s
        self._folds: dict[int, HeldFold] = {}
        self._ends: dict[int, int] = {}
        """Where the log ended when the partition was taken over: nothing is handed on before that is read."""
        self._reached: dict[Place, int] = {}
        """Below it everything was handed on here, whether the fold has read so or not."""
        self._told: dict[int, tuple[int, float]] = {}
        """Where the fold was when its marks were last written, and when that was."""
        self._on_the_way = OnTheWay(now_s)
        self._pause_s = TURN_S
        """How long the next turn may wait for records: not at all while there is more to hand on."""
        self._looked_s = now_s()
        self._handed = 0
        """Jobs handed on in the last turn."""
        self._turns = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping``."""
        while not stopping.is_set():
            await self.turn()

    async def turn(self) -> None:
        """Read what is new, hand on what may go, and write down how far that is."""
        try:
            await self._follow()
            await self._read()
            await self._hand_on()
        except OffsetOutOfRangeError as error:
            logger.info("reads what is held anew: %s", error)
            self._forget()
        await self._tell()

    def _forget(self) -> None:
        self._folds.clear()
        self._reached.clear()
        self._rereads.keep(())

    async def _follow(self) -> None:
        """Fold exactly the owned partitions, each from its marks on."""
        owned = self._member.assignment.partitions
        if owned == self._folds.keys():
            return
        # What was read of partitions that moved away is another's to hand on.
        self._rereads.keep(())
        self._folds = {number: fold for number, fold in self._folds.items() if number in owned}
        self._reached = {place: at for place, at in self._reached.items() if place[0] in owned}
        for number in owned - self._folds.keys():
            place = self._tp(number)
            fold = await self._marks.restored(number)
            self._ends[number] = (await self._tail.end_offsets([place]))[place]
            self._told[number] = (fold.next_offset, self._now_s())
            self._folds[number] = fold
        # A partition that comes back would go on where the reader stood, and not where its fold stands.
        await self._tail.assign({})
        await self._tail.assign({self._tp(number): fold.next_offset for number, fold in self._folds.items()})

    async def _read(self) -> None:
        if not self._folds:
            await asyncio.sleep(TURN_S)
            return
        for record in await self._tail.poll(self._pause_s):
            fold_held(self._folds[record.partition], record)

    def _is_restored(self, partition: int) -> bool:
        return self._folds[partition].next_offset >= self._ends[partition]

    def _allowed_now(self) -> list[tuple[Place, HeldFor]]:
        """Give what has jobs held that may be handed on, as far as the orders go."""
        found: list[tuple[Place, HeldFor]] = []
        for number, fold in self._folds.items():
            if self._is_restored(number):
                names = [(name, HeldFor.parse(name)) for name in fold.subjects]
                found += [((number, name), one) for name, one in names if self._may_go(one)]
        return [one for one in found if self._stretch(one[0]) is not None]

    def _may_go(self, held_for: HeldFor) -> bool:
        if held_for.cause is Cause.PAUSE:
            return held_for.subject not in self._orders.pauses
        return self._demand.is_known or held_for.subject not in self._orders.limits

    def _stretch(self, place: Place) -> tuple[int, int] | None:
        number, held_for = place
        found = self._folds[number].next_of(held_for, self._reached.get(place, 0))
        return None if found is None else (found.first, found.last)

    async def _hand_on(self) -> None:
        allowed = self._allowed_now()
        self._rereads.keep([place for place, _ in allowed])
        for place, _ in allowed:
            stretch = self._stretch(place)
            if stretch is not None:
                self._rereads.want(place, *stretch)
        await self._rereads.read(TURN_S)
        credits_ = {str(one): self._credit(one) for _, one in allowed}
        parts = [
            (place, one) for place, one in allowed if self._rereads.part(place) and credits_[str(one)] > 0
        ]
        room = await self._room({place[0] for place, _ in parts})
        await self._append(self._taken(parts, room, credits_))
        if self._handed or self._rereads.is_reading:
            self._pause_s = 0.0
        else:
            # With something allowed there is no room for it yet, in `jobs.ready` or in the limit.
            self._pause_s = NO_ROOM_S if allowed else TURN_S

    async def _room(self, partitions: set[int]) -> dict[int, int]:
        """Give how many records ``jobs.ready`` may take now, by partition."""
        if not partitions:
            return {}
        ready = [TopicPartition(self._routes.ready, number) for number in partitions]
        try:
            progress = await self._progress.look(ready)
        except ProgressUnknownError as error:
            logger.debug("cannot see how far the prioritizers are: %s", error)
            return {}
        return {place.partition: max(0, READY_MAX - seen.lag) for place, seen in progress.items()}

    def _credit(self, held_for: HeldFor) -> int:
        """Give how many jobs held for this may be handed on now by this scheduler, over all partitions."""
        limit = self._orders.limits.get(held_for.subject) if held_for.cause is Cause.LIMIT else None
        if limit is None:
            return READY_MAX * len(self._folds)
        return self._credit_of(limit, held_for)

    def _credit_of(self, limit: Limit, held_for: HeldFor) -> int:
        waiting = self._demand.log.returned(str(held_for.subject), self._now_ms())
        if waiting is None or waiting >= limit.returned_max:
            return 0
        # Each scheduler fills its part of the room; what others have on the way is not seen here.
        part = len(self._folds) / self._routes.partitions
        room = max(1, round((limit.returned_max - waiting) * part))
        return max(0, room - self._on_the_way.of(str(held_for)))

    def _taken(
        self, parts: list[tuple[Place, HeldFor]], room: dict[int, int], credits_: dict[str, int]
    ) -> list[_Handed]:
        """Take of every part what may go; what a limit has room for comes from all partitions alike."""
        self._turns += 1
        first = self._turns % len(parts) if parts else 0
        places = Counter(place[1] for place, _ in parts)
        equal = {name: -(-credit // places[name]) for name, credit in credits_.items() if places[name]}
        taken: list[_Handed] = []
        for place, held_for in parts[first:] + parts[:first]:
            most = min(room.get(place[0], 0), equal[place[1]], credits_[place[1]])
            handed = self._take(place, held_for, most)
            if handed is not None:
                room[place[0]] = room.get(place[0], 0) - len(handed.records)
                credits_[place[1]] -= len(handed.records)
                taken.append(handed)
        return taken

    def _take(self, place: Place, held_for: HeldFor, most: int) -> _Handed | None:
        part = self._rereads.part(place)
        assert part is not None
        count = min(len(part.records), most)
        if count < len(part.records) and not count:
            return None
        records = [part.records.popleft() for _ in range(count)]
        start, until = part.start, part.records[0].offset if part.records else part.until
        part.start = until
        if not part.records:
            self._rereads.done(place)
        if held_for.cause is Cause.LIMIT:
            self._on_the_way.add(place[1], count)
        return _Handed(place, start, until, records)

    async def _append(self, handed: list[_Handed]) -> None:
        """Make the jobs ready, then say so; a job that is paused otherwise is held for that instead."""
        self._handed = sum(len(one.records) for one in handed)
        outputs = [output for one in handed for record in one.records for output in self._outputs(record)]
        reached(Failpoint.HELD_TAKEN, when=outputs)
        await self._appender.append(outputs)
        reached(Failpoint.HELD_HANDED_ON, when=outputs)
        told = [
            handed_on_record(self._routes, one.place[0], HandedOn(one.place[1], one.until, len(one.records)))
            for one in handed
        ]
        await self._appender.append(told)
        reached(Failpoint.HELD_TOLD, when=told)
        for one in handed:
            self._reached[one.place] = one.until
        for cause, count in Counter(HeldFor.parse(one.place[1]).cause for one in handed).items():
            self._meter.count(Metric.HANDED_ON, count, cause=str(cause))

    def _outputs(self, record: Record) -> list[NewRecord]:
        job = decode_accepted(record)
        held_for = self._orders.pause_of(job)
        if held_for is None:
            return [ready_again(self._routes, record)]
        note = held_note(job, held_for, queued=False)
        return [ledger_record(self._routes, note), held_record(self._routes, job, held_for)]

    async def _tell(self) -> None:
        """Write down how far partitions are, so that they can be trimmed and restored from there."""
        if self._now_s() - self._looked_s < LOOK_S:
            return
        self._looked_s = self._now_s()
        held: Counter[Cause] = Counter(dict.fromkeys(Cause, 0))
        for number, fold in self._folds.items():
            for name, jobs in fold.counts().items():
                held[HeldFor.parse(name).cause] += jobs
            offset, at_s = self._told[number]
            if self._marks_rule.is_due(fold.next_offset - offset, self._now_s() - at_s):
                await self._marks.tell(self._appender, number, fold)
                self._told[number] = (fold.next_offset, self._now_s())
        for cause, jobs in held.items():
            self._meter.gauge(Metric.HELD_JOBS, jobs, cause=str(cause))

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._routes.held, partition)
