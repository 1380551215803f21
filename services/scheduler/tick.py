"""Tell workflow gates the time when something in them waits for it, beside the work."""

import asyncio
from collections.abc import Callable

from core.gates.gate import Gate
from core.gates.workflow_gate import WorkflowGate
from core.gates.workflow_records import Tick
from ports.failpoints import Failpoint, reached
from ports.log import Appender, GroupMember
from ports.stage import stopped_within
from schemas.gate_logs import GateLogs
from schemas.gates import tick_record
from schemas.topics import RouteMap

TURN_S = 0.5


class Ticker:
    """Appends ticks to owned partitions; the gates do what is due when they read them.

    Two that think they own a partition tick twice, which does nothing the second time.
    """

    def __init__(
        self,
        routes: RouteMap,
        logs: GateLogs,
        member: GroupMember,
        appender: Appender,
        now_ms: Callable[[], int],
        tick: Tick,
    ) -> None:
        self._routes = routes
        self._logs = logs
        self._member = member
        self._appender = appender
        self._now_ms = now_ms
        self._tick = tick
        self._appended: dict[int, int] = {}
        """Per partition the offset of the last tick: no other before it was read."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until ``stopping``."""
        while not stopping.is_set():
            await self.turn()
            await stopped_within(stopping, TURN_S)

    async def turn(self) -> None:
        """Tick where it is due."""
        for partition in sorted(self._member.assignment.partitions):
            gate = self._logs.folds(partition).gates[Gate.WORKFLOW]
            assert isinstance(gate, WorkflowGate)
            due_ms = gate.tick_due_ms(self._tick.unknown_wait_ms, self._tick.keep_ms)
            if due_ms is None or due_ms > self._now_ms():
                continue
            if self._appended.get(partition, -1) < gate.next_offset:
                reached(Failpoint.TICK_DUE)
                record = tick_record(self._routes, partition, self._tick)
                (place,) = await self._appender.append([record])
                self._appended[partition] = place.offset
                reached(Failpoint.TICKED)
