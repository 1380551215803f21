"""Keep the circuits: fold what executors tell of calls, and say in ``control`` how each circuit stands.

Every instance folds the same log (partition ``SEEN_PARTITION`` of ``jobs.outcomes``, without a group), for
the retry budgets and for what a failure means. The one that owns partition ``LEADER_PARTITION`` of the ledger
says what changes. Two that take themselves for it for a moment follow the same rule, and each goes on from
the newest word in ``control``.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable

from core.breaker import RATE_MAX_PER_S, Circuit, Mode, State, closed, step, still_held
from core.circuit_evidence import Evidence
from core.dependencies import AT
from core.log import Record, TopicPartition
from core.retry_budget import BudgetRule, RetryBudgets
from core.subjects import Cause, HeldFor
from ports.control import ControlWatch
from ports.demand import DemandWatch
from ports.failpoints import Failpoint, reached
from ports.held_counts import HeldCounts
from ports.log import Appender, GroupMember, PartitionReader
from ports.meter import Meter, Metric
from schemas.codec import decode_outcome
from schemas.control import CircuitRecord
from schemas.outcomes import SEEN_PARTITION, Calls, told_ms
from schemas.standing_orders import circuit_of_record, circuit_record, circuit_subject, record_of_circuit
from schemas.topics import RouteMap

logger = logging.getLogger(__name__)

LEADER_PARTITION = 0
POLL_S = 0.5
"""Longest wait for what executors tell, which they do once a second; also how soon a stop is noticed."""
READ_BACK = 2_000
"""Records read back at the start, some of every second: who has worked before, and whose the traffic is."""
FORGET_MS = 3_600_000
"""A closed circuit of which nothing was heard for so long is forgotten."""


class CircuitKeeper:
    """Follows calls, gives retry budgets their successes, and moves circuits where this instance is to.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    held
        Counts what is held; asked before a circuit is closed.
    rule
        Of the retry budgets of all instances together.
    """

    def __init__(
        self,
        routes: RouteMap,
        appender: Appender,
        reader: PartitionReader,
        control: ControlWatch,
        demand: DemandWatch,
        held: HeldCounts,
        member: GroupMember,
        meter: Meter,
        now_ms: Callable[[], int],
        rule: BudgetRule,
        mode: Mode = Mode.ON,
    ) -> None:
        self._routes = routes
        self._appender = appender
        self._reader = reader
        self._orders = control.orders
        self._demand = demand
        self._held = held
        self._member = member
        self._meter = meter
        self._now_ms = now_ms
        self._rule = rule
        self._mode = mode
        self._evidence: defaultdict[str, Evidence] = defaultdict(Evidence)
        self._uses: dict[str, tuple[str, ...]] = {}
        self._states: dict[str, State] = {}
        """As they were in the turn before."""
        self.budgets = RetryBudgets(rule)

    async def start(self) -> None:
        """Begin with the newest stretch of what was told."""
        place = TopicPartition(self._routes.outcomes, SEEN_PARTITION)
        start = (await self._reader.start_offsets([place]))[place]
        end = (await self._reader.end_offsets([place]))[place]
        await self._reader.assign({place: max(start, end - READ_BACK)})

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow and decide until ``stopping``."""
        while not stopping.is_set():
            self.take(await self._reader.poll(POLL_S))
            await self.turn()

    def take(self, records: list[Record]) -> None:
        """Fold what executors tell."""
        for record in records:
            batch = decode_outcome(record)
            for calls in batch.calls:
                self._take(calls, told_ms(batch, record.timestamp_ms))

    def _take(self, calls: Calls, at_ms: int) -> None:
        self._evidence[calls.circuit].take(at_ms, calls.tenant, calls.ok, calls.bad)
        self._uses[calls.circuit] = calls.uses
        if calls.ok:
            # What was told before this instance began fills no budget: it begins full.
            keys = budget_keys(calls.circuit.partition(AT)[0], calls.uses)
            self.budgets.succeeded(keys, calls.ok, at_ms / 1000)

    async def turn(self) -> None:
        """Move every circuit that has to move, if this instance is the one that says so."""
        now_ms = self._now_ms()
        part = len(self._member.assignment.partitions) / self._routes.partitions
        self.budgets.set(self._rule.of_part(part or 1.0), now_ms / 1000)
        self._notice_closed()
        if LEADER_PARTITION in self._member.assignment.partitions:
            await self._say(await self._changes(now_ms))
        self._forget(now_ms)
        self._measure()

    async def _changes(self, now_ms: int) -> list[CircuitRecord]:
        names = dict.fromkeys([*self._evidence, *self._orders.circuits])
        found = [(name, await self._unless_held(name, self._moved(name, now_ms), now_ms)) for name in names]
        return [
            record_of_circuit(name, moved, self._uses.get(name, ()))
            for name, moved in found
            if moved is not None
        ]

    def _moved(self, name: str, now_ms: int) -> Circuit | None:
        circuit = circuit_of_record(self._orders.circuits.get(name))
        if self._mode is Mode.OFF:
            is_closed = circuit.state is State.CLOSED
            return None if is_closed else closed(circuit, "circuits are switched off", now_ms)
        evidence = self._evidence.get(name) or Evidence()
        wanted = None
        if circuit.state is not State.CLOSED:
            wanted = self._demand.log.wanted(str(circuit_subject(name)), now_ms)
        elif now_ms - evidence.heard_ms > FORGET_MS:
            return None
        moved = step(circuit, evidence, wanted, now_ms)
        return None if moved == circuit else moved

    async def _unless_held(self, name: str, moved: Circuit | None, now_ms: int) -> Circuit | None:
        """Keep a circuit from closing while jobs are held for it, or nobody can say whether they are."""
        circuit = circuit_of_record(self._orders.circuits.get(name))
        if moved is None or moved.state is not State.CLOSED or self._mode is Mode.OFF:
            return moved
        held = await self._held.of(str(HeldFor(Cause.LIMIT, circuit_subject(name))))
        if held == 0 or circuit.rate_per_s >= RATE_MAX_PER_S:
            return moved
        return still_held(circuit, now_ms) if circuit.state is State.RECOVERING else None

    async def _say(self, records: list[CircuitRecord]) -> None:
        if not records:
            return
        reached(Failpoint.CIRCUITS_DUE)
        await self._appender.append([circuit_record(self._routes, one) for one in records])
        reached(Failpoint.CIRCUITS_TOLD)
        for one in records:
            before = circuit_of_record(self._orders.circuits.get(one.name))
            if one.state is not before.state:
                self._meter.count(Metric.CIRCUIT_CHANGES, state=str(one.state))
                logger.warning("circuit %s is %s: %s", one.name, one.state, one.reason)
            # Until it is read back; whatever stands behind it in the log is read after it, and holds then.
            self._orders.put_circuit(one)
        self._notice_closed()

    def _notice_closed(self) -> None:
        """Judge a circuit by what happens after it was closed, whoever closed it."""
        for name, record in self._orders.circuits.items():
            if record.state is State.CLOSED and self._states.get(name, State.CLOSED) is not State.CLOSED:
                self._evidence[name].start_anew()
            self._states[name] = record.state

    def _forget(self, now_ms: int) -> None:
        silent = [name for name, one in self._evidence.items() if now_ms - one.heard_ms > FORGET_MS]
        for name in silent:
            if self._states.get(name, State.CLOSED) is State.CLOSED:
                del self._evidence[name]
                self._uses.pop(name, None)

    def _measure(self) -> None:
        counts = Counter(self._states.values())
        for state in (State.OPEN, State.RECOVERING):
            self._meter.gauge(Metric.CIRCUITS, counts[state], state=str(state))

    @property
    def is_on(self) -> bool:
        """Whether circuits are kept."""
        return self._mode is Mode.ON

    def is_open(self, name: str) -> bool:
        """Whether a failure of this circuit is held to be what it calls: it is open, or about to be."""
        if not self.is_on:
            return False
        record = self._orders.circuits.get(name)
        if record is not None and record.state is not State.CLOSED:
            return True
        evidence = self._evidence.get(name)
        return evidence is not None and evidence.is_suspect(self._now_ms())


def budget_keys(type_: str, uses: tuple[str, ...]) -> list[str]:
    """Give the retry budgets a job counts in: its type's, and one of each thing it calls."""
    return [f"type/{type_}", *(f"uses/{one}" for one in uses)]
