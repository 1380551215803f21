"""Schedule: the loop that admits what enters, releases what is due, and only then lets go."""

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import chain

from core.log import NewRecord, Record, TopicPartition
from core.offsets import next_positions
from ports.failpoints import Failpoint, reached
from ports.log import Appender, Batch, GroupMember
from ports.stage import COMMIT_INTERVAL_S, POLL_S
from schemas.gate_logs import GateLogs
from schemas.gates import opens_gated
from schemas.topics import RouteMap
from services.scheduler.admit import Admitter
from services.scheduler.decide import depart
from services.scheduler.hold import Heads
from services.scheduler.keep_gates import Gatekeeper
from services.scheduler.last_stretch import LastStretch
from services.scheduler.measure import Measures
from services.scheduler.rest import LedgerRest, Switch

logger = logging.getLogger(__name__)

RELEASE_MAX = 8000
"""Most records released in one turn; so many take half a tick of the wheel."""
READ_MAX = 8000
"""Most records read in one turn. A job is read ten times on its way through gates, wheel and ledger, and a
turn takes two answers of the broker: with a busy one, 2,000 a turn were too few for 1,700 jobs a second."""
_ROUND_UP_S = 0.001
"""The group member waits whole milliseconds, rounded down; without this it would spin before each head."""


class Positions:
    """How far each partition was handed over, and where reading goes on after a rebalance."""

    def __init__(self, routes: RouteMap, admitter: Admitter, logs: GateLogs) -> None:
        self._gates = routes.gates
        self._admitter = admitter
        self._logs = logs
        self._followed = frozenset(logs.topics)
        self.handed: dict[TopicPartition, int] = {}
        """Offsets below which all outputs were acknowledged to this process."""

    def start_at(self, place: TopicPartition, committed: int) -> int:
        """Choose where to read from: nothing handed over is handed over again without need.

        A gate is read from where its fold ends, or earlier, from where records were folded and
        their outputs not acknowledged. Logs of gates and the ledger are read from where their folds end: what
        was folded in a turn that ended was handed over, or only restored.
        """
        if place.topic in self._followed:
            return self._logs.next_offset(place)
        start = max(committed, self.handed.get(place, 0))
        if place.topic == self._gates:
            return min(start, self._admitter.gate(place.partition).next_offset)
        return start


class Scheduler:
    """Runs gates and wheel over one group member of ``jobs.gates``, the wheel, and what ``GateLogs`` fold."""

    def __init__(
        self,
        *,
        routes: RouteMap,
        member: GroupMember,
        appender: Appender,
        now_ms: Callable[[], int],
        admitter: Admitter,
        gatekeeper: Gatekeeper,
        logs: GateLogs,
        positions: Positions,
        heads: Heads,
        stretch: LastStretch,
        measures: Measures,
    ) -> None:
        self._routes = routes
        self._member = member
        self._appender = appender
        self._now_ms = now_ms
        self._admitter = admitter
        self._gatekeeper = gatekeeper
        self._logs = logs
        self._followed = frozenset(logs.topics)
        self._positions = positions
        self._heads = heads
        self._stretch = stretch
        self._measures = measures
        self._rest = LedgerRest(routes.ledger)
        self._assignment = 0
        self._pending: dict[TopicPartition, int] = {}
        self._committed_at_s = time.monotonic()

    @property
    def is_restored(self) -> bool:
        """Whether partitions are shared out and every owned gate is folded up to its commit."""
        assignment = self._member.assignment
        return assignment.number > 0 and all(
            self._admitter.gate(partition).next_offset >= self._committed_gate(partition)
            and not self._logs.is_behind(
                partition,
                {place: self._member.committed(place) for place in self._logs.places(partition).values()},
            )
            for partition in assignment.partitions
        )

    async def run(self, stopping: asyncio.Event, turn: Callable[[], None]) -> None:
        """Work until ``stopping``; ``turn`` is called every time round.

        Whatever a step raises ends the loop, with nothing of the turn committed: the next start
        does it again, and the ledger refuses what was done twice.
        """
        while not stopping.is_set():
            await self.step()
            turn()
        reached(Failpoint.STOPPING)
        await self._member.commit(self._assignment, self._pending)
        reached(Failpoint.LAST_COMMITTED)

    async def step(self) -> None:
        """Go round once: poll, admit and release, append, then count as handed over."""
        batch = await self._member.poll(self._wait_s(), READ_MAX)
        reached(Failpoint.POLLED, when=batch.records)
        self._follow(batch)
        entered, followed, rest = self._sorted(batch.records)
        self._heads.take(rest)
        outputs = self._admitter.admit(entered, self._act_from)
        gated = self._gatekeeper.follow(followed, self._act_from_in)
        outputs += await self._gatekeeper.outputs(gated, followed)
        now_ms = self._now_ms()
        left = self._heads.pop_due(now_ms, RELEASE_MAX)
        due = self._stretch.take(left, now_ms)
        due += self._stretch.pop_due(now_ms, RELEASE_MAX)
        released, lateness_ms = self._release(due, now_ms)
        await self._append(outputs, released)
        self._measures.admitted(entered)
        self._measures.followed(followed)
        self._measures.departed(left, lateness_ms)
        self._measures.appended(chain(outputs, released))
        handed = next_positions(chain(entered, followed)) | self._stretch.settle(due)
        for place, offset in handed.items():
            # A gate being restored is read from before what was handed over.
            self._positions.handed[place] = max(offset, self._positions.handed.get(place, 0))
        self._pending |= handed
        self._regulate(now_ms)
        self._rest_ledger(followed)
        await self._commit(idle=not due and not left and not batch.records)

    def _sorted(self, records: list[Record]) -> tuple[list[Record], list[Record], list[Record]]:
        """Give what enters ``jobs.gates``, what is of the followed logs, and what is of the wheel."""
        entered: list[Record] = []
        followed: list[Record] = []
        rest: list[Record] = []
        for record in records:
            if record.topic in self._followed:
                followed.append(record)
            elif record.topic == self._routes.gates:
                entered.append(record)
            else:
                rest.append(record)
        return entered, followed, rest

    async def _append(self, outputs: list[NewRecord], released: list[NewRecord]) -> None:
        """Append what the gates lead to and what the wheel releases.

        That a gated job was accepted comes first: it precedes everything else the ledger says of it, so
        whoever follows gated jobs misses none of their ends.
        """
        opening = [record for record in outputs if opens_gated(record)]
        reached(Failpoint.OPENING, when=opening)
        await self._appender.append(opening)
        reached(Failpoint.OPENED, when=opening)
        rest = [record for record in outputs if not opens_gated(record)] if opening else outputs
        reached(Failpoint.ADMITTED, when=outputs)
        reached(Failpoint.DUE, when=released)
        await self._appender.append([*rest, *released])
        reached(Failpoint.ADMITTED_APPENDED, when=outputs)
        reached(Failpoint.RELEASED_APPENDED, when=released)

    def _release(self, due: list[Record], now_ms: int) -> tuple[list[NewRecord], list[int]]:
        departures = [depart(self._routes, record, now_ms) for record in due]
        lateness_ms = [departure.late_ms for departure in departures if departure.late_ms is not None]
        return [departure.record for departure in departures], lateness_ms

    def _wait_s(self) -> float:
        wait_s = COMMIT_INTERVAL_S if self._pending else POLL_S
        times_ms = (self._heads.next_leave_ms(), self._stretch.next_due_ms(), self._rest.ends_ms())
        next_ms = [at_ms for at_ms in times_ms if at_ms is not None]
        if not next_ms:
            return wait_s
        remaining_ms = min(next_ms) - self._now_ms()
        return 0.0 if remaining_ms <= 0 else min(wait_s, remaining_ms / 1000 + _ROUND_UP_S)

    def _follow(self, batch: Batch) -> None:
        """Start over from the positions when the assignment changed: the member reads again."""
        if batch.assignment == self._assignment:
            return
        self._assignment = batch.assignment
        self._rest.over()
        self._heads.clear()
        self._stretch.clear()
        owned = self._member.assignment.partitions
        logger.info("follows partitions %s", sorted(owned))
        self._pending = {
            place: offset for place, offset in self._positions.handed.items() if place.partition in owned
        }

    def _act_from(self, partition: int) -> int:
        return self._act_from_in(TopicPartition(self._routes.gates, partition))

    def _act_from_in(self, place: TopicPartition) -> int:
        return max(self._positions.handed.get(place, 0), self._member.committed(place))

    def _committed_gate(self, partition: int) -> int:
        return self._member.committed(TopicPartition(self._routes.gates, partition))

    def _rest_ledger(self, followed: list[Record]) -> None:
        """Read the ledger in stretches while no gated job is about."""
        owned = self._member.assignment.partitions
        ledger = [TopicPartition(self._routes.ledger, partition) for partition in owned]
        gated = sum(len(self._logs.folds(partition).gated) for partition in owned)
        match self._rest.after(followed, gated, self._now_ms()):
            case Switch.PAUSE:
                self._member.pause(ledger)
            case Switch.RESUME:
                self._member.resume(ledger)
            case Switch.LEAVE:
                pass

    def _regulate(self, now_ms: int) -> None:
        full = self._heads.to_pause(now_ms)
        if full:
            self._member.pause(list(full))
        wanting = self._heads.to_resume(now_ms)
        if wanting:
            self._member.resume(list(wanting))

    async def _commit(self, *, idle: bool) -> None:
        if not self._pending:
            return
        reached(Failpoint.WORKED)
        due = time.monotonic() - self._committed_at_s >= COMMIT_INTERVAL_S
        if (idle or due) and await self._member.commit(self._assignment, self._pending):
            self._pending = {}
            self._committed_at_s = time.monotonic()
            reached(Failpoint.COMMITTED)
